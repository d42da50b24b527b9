from __future__ import annotations

import pytest

from autotuner.results.quality.client import client_bottleneck, closed_loop_bench
from autotuner.results.quality.finding import Severity


@pytest.mark.parametrize(
    ("processes", "share", "workers"), [(1, 0.9, 2), (1, 1.0, 2), (4, 0.9, 6), (None, 0.85, 2)]
)
def test_a_busy_load_generator_is_serious_and_needs_more_processes(
    draft, only, processes, share, workers
):
    draft.change("e16", 64, client_cpu_share=share, client_processes=processes)
    finding = only(client_bottleneck, draft)
    assert (finding.kind, finding.severity) == ("client_bottleneck", Severity.SERIOUS)
    assert finding.experiment_ids == ("e16",)
    assert f"{100 * share:.0f} % of the time" in finding.message
    assert f"bench: {{workers: {workers}}}" in finding.remedy


@pytest.mark.parametrize("share", [0.84, None])
def test_a_load_generator_with_time_left_is_silent(draft, found, share):
    draft.change_all(client_cpu_share=share)
    assert found(client_bottleneck, draft) == []


def test_a_real_server_under_the_test_load_generator_is_a_warning(draft, only):
    draft.attempts[0]["bench"] = "closed-loop"
    finding = only(closed_loop_bench, draft)
    assert (finding.kind, finding.severity) == ("closed_loop_bench", Severity.WARNING)


def test_a_simulated_server_may_be_loaded_by_it(draft, found):
    draft.change_all(bench="closed-loop", simulated=True)
    assert found(closed_loop_bench, draft) == []
