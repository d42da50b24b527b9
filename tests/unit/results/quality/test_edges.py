from __future__ import annotations

from dataclasses import replace

import pytest

from autotuner.results.quality.edges import edge_level, edge_parameter
from autotuner.results.quality.finding import Severity
from autotuner.results.study_record import SearchedSpace
from autotuner.spec.objective import Over


def test_a_best_level_of_the_highest_concurrency_may_have_a_better_one_beyond(draft, only):
    draft.best_level = "chat D(100,100) c=64"
    finding = only(edge_level, draft)
    assert (finding.kind, finding.severity) == ("edge_level", Severity.NOTE)
    assert "the highest concurrency measured, 64" in finding.message
    assert finding.remedy == "workloads: concurrency: [1, 8, 64, 128]"


def test_so_may_the_lowest_unless_it_is_one(draft, only, found):
    draft.best_level = "chat D(100,100) c=1"
    assert found(edge_level, draft) == []
    for row in draft.pooled:
        row["concurrency"] *= 8
    draft.best_level = "chat D(100,100) c=8"
    assert only(edge_level, draft).remedy == "workloads: concurrency: [4, 8, 64, 512]"


@pytest.mark.parametrize("level", ["chat D(100,100) c=8", None, "gone"])
def test_a_best_level_within_is_silent(draft, found, level):
    draft.best_level = level
    assert found(edge_level, draft) == []


def test_where_all_levels_count_none_is_at_an_edge(draft, found):
    draft.judging = replace(
        draft.judging, objective=replace(draft.judging.objective, over=Over.WORST)
    )
    draft.best_level = "chat D(100,100) c=64"
    assert found(edge_level, draft) == []


@pytest.mark.parametrize(
    ("leader", "word", "values"),
    [("e64", "highest", "..., 64, 128"), ("e8", "lowest", "4, 8, ...")],
)
def test_a_leader_at_the_end_of_a_parameter_may_have_a_better_one_beyond(
    draft, only, leader, word, values
):
    draft.verdict = replace(draft.verdict, leader=leader)
    finding = only(edge_parameter, draft)
    assert (finding.kind, finding.severity) == ("edge_parameter", Severity.NOTE)
    assert f"the {word} value of max-num-seqs" in finding.message
    assert f"parameters: max-num-seqs: [{values}]" in finding.remedy


def test_a_leader_within_is_silent(draft, found):
    assert found(edge_parameter, draft) == []


def test_a_tie_with_a_value_within_is_silent(draft, found):
    draft.verdict = replace(draft.verdict, leader="e64", tied_with=("e32",))
    assert found(edge_parameter, draft) == []


@pytest.mark.parametrize("values", [(True, False, True, False), ("a", "b", "c", "d"), (1, 1, 2, 2)])
def test_switches_words_and_two_values_have_no_ends(draft, found, values):
    draft.verdict = replace(draft.verdict, leader="e64")
    draft.experiments = [
        e if e.is_baseline else replace(e, parameters={"max-num-seqs": value})
        for e, value in zip(draft.experiments, (None, *values), strict=True)
    ]
    assert found(edge_parameter, draft) == []


def test_a_value_beyond_which_the_search_could_have_gone_is_at_no_end(draft, found, only):
    draft.verdict = replace(draft.verdict, leader="e64")
    space = SearchedSpace("tpe", 9, 9, {"max-num-seqs": (8, 64, 128)})
    draft.search = space
    assert found(edge_parameter, draft) == []
    draft.search = replace(space, values={"max-num-seqs": (4, 8, 64)})
    assert only(edge_parameter, draft).experiment_ids == ("e64",)


def test_a_leading_baseline_is_at_no_end(draft, found):
    draft.verdict = replace(draft.verdict, leader="base")
    assert found(edge_parameter, draft) == []


def test_a_plan_that_skipped_what_lies_beyond_has_shown_that_it_is_no_better(draft, found, only):
    draft.best_level = "chat D(100,100) c=8"
    draft.change("e32", 64, status="skipped")
    assert found(edge_level, draft) == []
    draft.best_level = "chat D(100,100) c=64"
    draft.change("e32", 64, status="ok")
    draft.change("e32", 1, status="skipped")
    assert only(edge_level, draft).remedy == "workloads: concurrency: [1, 8, 64, 128]"


def test_where_all_else_was_skipped_the_best_is_at_the_edge_all_the_same(draft, only):
    draft.best_level = "chat D(100,100) c=64"
    for concurrency in (1, 8):
        draft.change("e32", concurrency, status="skipped")
    assert only(edge_level, draft).remedy == "workloads: concurrency: [1, 8, 64, 128]"


def test_a_load_that_was_found_at_the_end_of_its_range_may_be_larger(draft, only, found):
    draft.experiments = [replace(e, found=("chat",)) for e in draft.experiments]
    draft.best_level = "chat D(100,100) c=64"
    assert only(edge_level, draft).remedy == "workloads: load: {max: 128}"
    draft.change("e32", 64, status="failed")
    draft.best_level = "chat D(100,100) c=8"  # beyond it requests failed: that is its end
    assert found(edge_level, draft) == []
