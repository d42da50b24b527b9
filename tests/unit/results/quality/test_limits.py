from __future__ import annotations

from dataclasses import replace

import pytest

from autotuner.results.quality.finding import Severity
from autotuner.results.quality.limits import marginal_constraint
from autotuner.spec.objective import Over


def test_a_value_just_below_its_limit_is_a_warning_for_the_leader(draft, only):
    draft.change("e32", 8, ttft_s_p99=0.99)
    finding = only(marginal_constraint, draft)
    assert (finding.kind, finding.severity) == ("marginal_constraint", Severity.WARNING)
    assert finding.experiment_ids == ("e32",)
    assert "ttft_s_p99 is 0.99, the limit 1, at chat D(100,100) c=8" in finding.message
    assert "e.g. 0.95" in finding.remedy


def test_it_is_a_note_for_others(draft, only):
    draft.change("e16", 8, ttft_s_p99=0.99)
    assert only(marginal_constraint, draft).severity is Severity.NOTE


def test_a_single_measurement_that_misses_the_limit_is_told(draft, only):
    next(
        row for row in draft.levels if row["experiment_id"] == "e32" and row["concurrency"] == 8
    ).update(ttft_s_p99=1.3)
    assert "1 of 4 measurements miss it" in only(marginal_constraint, draft).message


@pytest.mark.parametrize("value", [0.5, 0.97, 1.01, None])
def test_a_limit_kept_well_or_missed_altogether_is_silent(draft, found, value):
    draft.change_all(ttft_s_p99=value)
    assert found(marginal_constraint, draft) == []


def test_a_level_that_does_not_count_may_be_near_its_limit(draft, found):
    draft.change("e32", 64, ttft_s_p99=0.99)
    assert found(marginal_constraint, draft) == []
    draft.judging = replace(
        draft.judging, objective=replace(draft.judging.objective, over=Over.WORST)
    )
    assert len(found(marginal_constraint, draft)) == 1, "all levels must keep it for the worst"
