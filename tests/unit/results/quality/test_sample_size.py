from __future__ import annotations

from dataclasses import replace

import pytest

from autotuner.results.quality.finding import Severity
from autotuner.results.quality.sample_size import few_requests, percentiles
from autotuner.results.summary import supports
from autotuner.spec.objective import Constraint, Direction, Objective


def test_a_p99_of_thirty_requests_is_unsupported(draft, only):
    draft.change("e8", 1, ttft_s_count=30, requests_per_s=0.5)
    draft.change("e16", 1, ttft_s_count=200)
    finding = only(percentiles, draft)
    assert (finding.kind, finding.severity) == ("percentile_unsupported", Severity.WARNING)
    assert finding.experiment_ids == ("e8", "e16")
    assert "p99 of ttft_s rests on 30 values, it takes 299" in finding.message
    assert finding.remedy == "workloads: stop: {seconds: 598, requests: 299}, or more of both"


def test_the_number_of_requests_asked_for_is_the_smallest_that_suffices(draft, only):
    draft.judging = replace(draft.judging, constraints=(Constraint("ttft_s", "p90", 1.0),))
    draft.change_all(ttft_s_count=5)
    asked = int(only(percentiles, draft).remedy.partition("requests: ")[2].partition("}")[0])
    assert supports("p90", asked)
    assert not supports("p90", asked - 1)


def test_percentiles_of_enough_requests_are_silent(draft, found):
    assert found(percentiles, draft) == []


def test_percentiles_that_decide_nothing_are_silent(draft, found):
    draft.judging = replace(draft.judging, constraints=())
    draft.change_all(ttft_s_count=5)
    assert found(percentiles, draft) == []


def test_levels_that_the_objective_does_not_look_at_need_no_percentile(draft, found):
    draft.judging = replace(
        draft.judging,
        objective=Objective("latency", "ttft_s", Direction.MINIMIZE, "p99", concurrency=64),
        constraints=(),
    )
    draft.change("e8", 1, ttft_s_count=30)
    assert found(percentiles, draft) == []
    draft.change("e8", 64, ttft_s_count=30)
    assert len(found(percentiles, draft)) == 1


def test_a_level_of_fewer_than_three_rounds_is_short(draft, only):
    draft.change("e8", 64, requests_completed=100, requests_per_s=4.0)
    finding = only(few_requests, draft)
    assert (finding.kind, finding.severity) == ("few_requests", Severity.WARNING)
    assert finding.experiment_ids == ("e8",)
    assert "100 requests completed with 64 in flight" in finding.message
    assert finding.remedy == "workloads: stop: {seconds: 160, requests: 640}"


@pytest.mark.parametrize("completed", [192, None])
def test_three_rounds_or_an_unknown_number_are_silent(draft, found, completed):
    draft.change("e8", 64, requests_completed=completed)
    assert found(few_requests, draft) == []
