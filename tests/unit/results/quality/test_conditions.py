from __future__ import annotations

from dataclasses import replace

import pytest

from autotuner.results.quality.conditions import (
    compared_across,
    not_compared,
    processes,
    simulated,
    unknown_version,
)
from autotuner.results.quality.finding import Severity
from autotuner.results.score import EntryStatus
from autotuner.spec.judging import Condition


def test_experiments_that_are_not_compared_are_a_warning(draft, only, found):
    assert found(not_compared, draft) == []
    draft.statuses["e8"] = EntryStatus.NOT_COMPARABLE
    finding = only(not_compared, draft)
    assert (finding.kind, finding.severity) == ("mixed_conditions", Severity.WARNING)
    assert finding.experiment_ids == ("e8",)
    assert "engine_version 0.8 where most have 0.9" in finding.message


@pytest.mark.parametrize(
    ("condition", "column", "value"),
    [
        (Condition.ENGINE_VERSION, "engine_version", "0.8.0"),
        (Condition.GPU_MODEL, "gpu_model", "A100"),
        (Condition.NICE, "nice", 15),
        (Condition.NEIGHBOURS, "neighbours_mean", 1.5),
        (Condition.BENCH_VERSION, "bench_version", "0.0.4"),
    ],
)
def test_what_is_compared_across_other_circumstances_is_a_warning(
    draft, only, found, condition, column, value
):
    draft.attempts[3][column] = value
    draft.judging = replace(draft.judging, compare_across=frozenset())
    assert found(compared_across, draft) == [], "then the ranking refuses it"
    draft.judging = replace(draft.judging, compare_across=frozenset({condition}))
    finding = only(compared_across, draft)
    assert (finding.kind, finding.severity) == ("mixed_conditions", Severity.WARNING)
    assert finding.experiment_ids == (draft.attempts[3]["experiment_id"],)


def test_neighbours_that_are_compared_by_default_are_a_note(draft, only):
    draft.attempts[3]["neighbours_mean"] = 1.5
    draft.judging = replace(draft.judging, compare_across=None)
    finding = only(compared_across, draft)
    assert (finding.kind, finding.severity) == ("mixed_conditions", Severity.NOTE)
    assert "compare_across: []" in finding.remedy


def test_equal_circumstances_may_be_compared_across(draft, found):
    draft.judging = replace(draft.judging, compare_across=frozenset(Condition))
    assert found(compared_across, draft) == []


def test_a_niced_server_is_a_warning(draft, only):
    draft.change_all(nice=15)
    finding = only(processes, draft)
    assert (finding.kind, finding.severity) == ("nice", Severity.WARNING)
    assert "11 servers ran at nice 15" in finding.message


def test_cpus_of_both_server_and_load_generator_are_a_warning(draft, only):
    draft.change_all(cpus_server="0-3,8", cpus_load="3,8-9", gpus=1)
    finding = only(processes, draft)
    assert (finding.kind, finding.severity) == ("cpus_shared", Severity.WARNING)
    assert "(3,8)" in finding.message


@pytest.mark.parametrize("threads", ["1", "8", "many"])
def test_threads_that_do_not_fit_the_cpus_of_a_cpu_server_are_a_note(draft, only, threads):
    draft.change_all(cpus_server="0-3", cpus_load="4", gpus=0, omp_num_threads=threads)
    finding = only(processes, draft)
    assert (finding.kind, finding.severity) == ("omp_threads", Severity.NOTE)
    assert "OMP_NUM_THREADS: 4" in finding.remedy


def test_servers_with_all_that_they_need_are_silent(draft, found):
    assert found(processes, draft) == []
    draft.change_all(cpus_server="0-3", cpus_load="4", gpus=0, omp_num_threads="4")
    assert found(processes, draft) == []
    draft.change_all(omp_num_threads="2")
    assert found(processes, draft) == [], "fewer threads than CPUs may be meant"
    draft.change_all(gpus=1, omp_num_threads="1")
    assert found(processes, draft) == []


def test_simulated_numbers_are_a_note_and_beside_real_ones_serious(draft, only, found):
    assert found(simulated, draft) == []
    draft.change("e8", simulated=True)
    assert only(simulated, draft).severity is Severity.SERIOUS
    draft.change_all(simulated=True)
    assert only(simulated, draft).severity is Severity.NOTE


def test_an_unknown_engine_version_is_a_note_but_for_simulated_servers(draft, only, found):
    assert found(unknown_version, draft) == []
    draft.change_all(engine_version=None)
    assert only(unknown_version, draft).kind == "engine_version_unknown"
    draft.change_all(simulated=True)
    assert found(unknown_version, draft) == []
