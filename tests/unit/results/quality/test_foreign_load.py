"""e32 leads with 1.2, before e16 with 1.0, e64 with 0.95, the baseline with 0.9, e8 with 0.8."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from autotuner.cli.conclusions import print_findings
from autotuner.results.experiments import experiment_row
from autotuner.results.load import load_results
from autotuner.results.node_cpus import NodeCpus
from autotuner.results.quality.finding import Severity
from autotuner.results.quality.foreign_load import foreign_load
from autotuner.results.score import EntryStatus
from autotuner.spec.experiment import Attempt, Completed
from autotuner.spec.objective import Direction


@pytest.fixture
def on_cpus(draft):
    """The study on servers without GPUs, alone on nodes of two CPUs."""
    draft.change_all(gpus=0, node_cpus=2, own_cpus=1.4, foreign_cpus=0.1)
    return draft


def test_a_level_that_lost_cpus_which_the_leader_had_is_named_with_both_numbers(on_cpus, only):
    on_cpus.change("e16", 8, foreign_cpus=0.8)
    finding = only(foreign_load, on_cpus)
    assert (finding.kind, finding.severity) == ("foreign_load", Severity.SERIOUS)
    assert finding.experiment_ids == ("e16",)
    assert "others used 0.8 of the node's 2 CPUs at chat D(100,100) c=8" in finding.message
    assert "max-num-seqs=16, and 0.1 at the same level of the leader" in finding.message


def test_a_disturbed_baseline_is_named_as_such(on_cpus, only):
    on_cpus.change("base", foreign_cpus=1.1)
    finding = only(foreign_load, on_cpus)
    assert finding.severity is Severity.SERIOUS
    assert "of the baseline (defaults)" in finding.message


@pytest.mark.parametrize(
    ("cpus", "foreign", "is_named"),
    [
        (2, 0.7, True),
        (2, 0.4, True),
        (2, 0.3, False),  # 0.2 more than the leader
        (8, 0.55, True),
        (8, 0.45, False),  # more than a quarter of a CPU, of many
        (16, 1.0, True),
        (128, 3.1, False),
        (128, 7.0, True),
    ],
)
def test_a_difference_counts_from_a_quarter_of_a_cpu_and_a_twentieth_of_the_node(
    on_cpus, found, cpus, foreign, is_named
):
    on_cpus.change_all(node_cpus=cpus)
    on_cpus.change("e16", foreign_cpus=foreign)
    assert bool(found(foreign_load, on_cpus)) is is_named


def test_a_load_that_all_had_alike_decides_nothing(on_cpus, found):
    on_cpus.change_all(foreign_cpus=1.5)
    assert found(foreign_load, on_cpus) == []


def test_half_of_the_study_beside_another_job_is_named_whole(on_cpus, only):
    for id_ in ("base", "e8", "e16"):
        on_cpus.change(id_, foreign_cpus=0.9)
    assert only(foreign_load, on_cpus).experiment_ids == ("base", "e8", "e16")


def test_one_disturbed_server_among_quiet_ones_is_found(on_cpus, only):
    for row in on_cpus.levels:
        if row["attempt_id"] == "e16-a2":
            row["foreign_cpus"] = 0.9
    assert only(foreign_load, on_cpus).experiment_ids == ("e16",)


def test_whoever_is_further_behind_than_lost_cpus_explain_only_warns(on_cpus, only):
    """0.7 of 16 CPUs are 4 %, which may cost 9 %; e8 is a third behind."""
    on_cpus.change_all(node_cpus=16)
    on_cpus.change("e8", foreign_cpus=1.0)
    finding = only(foreign_load, on_cpus)
    assert finding.severity is Severity.WARNING
    assert "by less than they are behind" in finding.consequence


def test_behind_is_higher_where_lower_is_better(on_cpus, only):
    """e8 leads then, and e32 is a third behind."""
    objective = replace(on_cpus.judging.objective, direction=Direction.MINIMIZE)
    on_cpus.judging = replace(on_cpus.judging, objective=objective)
    on_cpus.verdict = replace(on_cpus.verdict, leader="e8")
    on_cpus.change_all(node_cpus=16)
    on_cpus.change("e32", foreign_cpus=1.0)
    assert only(foreign_load, on_cpus).severity is Severity.WARNING


@pytest.mark.parametrize("value", [400.0, None])
def test_a_limit_missed_while_others_took_cpus_is_serious_however_few(on_cpus, value):
    on_cpus.change_all(node_cpus=16)
    on_cpus.change("e8", foreign_cpus=1.0)
    on_cpus.statuses["e8"] = EntryStatus.INFEASIBLE
    inspected = on_cpus.inspected()
    missed = replace(inspected.entries["e8"].score, value=value)
    entries = (
        replace(entry, score=missed) if entry.experiment_id == "e8" else entry
        for entry in inspected.ranking.entries
    )
    ranking = replace(inspected.ranking, entries=tuple(entries))
    (finding,) = foreign_load(replace(inspected, ranking=ranking))
    assert finding.severity is Severity.SERIOUS


def test_a_leader_that_was_disturbed_leads_all_the_same(on_cpus, only):
    on_cpus.change("e32", foreign_cpus=1.2)
    finding = only(foreign_load, on_cpus)
    assert finding.severity is Severity.WARNING
    assert finding.experiment_ids == ("e32",)
    assert "1.2 of the node's 2 CPUs" in finding.message
    assert "0.1 at the median of the others" in finding.message


def test_one_disturbed_server_of_the_leader_is_not_held_against_its_others(on_cpus, only):
    for row in on_cpus.levels:
        if row["attempt_id"] == "e32-a2":
            row["foreign_cpus"] = 1.3
    finding = only(foreign_load, on_cpus)
    assert (finding.severity, finding.experiment_ids) == (Severity.WARNING, ("e32",))


def test_without_a_leader_the_usual_load_is_the_measure(on_cpus, only):
    on_cpus.verdict = replace(on_cpus.verdict, leader=None, advantages={})
    on_cpus.statuses = dict.fromkeys(("base", "e8", "e16", "e32", "e64"), EntryStatus.INFEASIBLE)
    on_cpus.change("e16", foreign_cpus=1.2)
    finding = only(foreign_load, on_cpus)
    assert finding.severity is Severity.WARNING
    assert "0.1 at the median of all" in finding.message


@pytest.mark.parametrize(("own", "foreign", "is_named"), [(3.0, 40.0, False), (30.0, 40.0, True)])
def test_a_server_on_gpus_suffers_only_where_cpus_are_short(draft, found, own, foreign, is_named):
    draft.change("e16", own_cpus=own, foreign_cpus=foreign)
    assert bool(found(foreign_load, draft)) is is_named


def test_levels_that_the_objective_does_not_look_at_are_left_out(on_cpus, found):
    objective = replace(on_cpus.judging.objective, concurrency=8)
    on_cpus.judging = replace(on_cpus.judging, objective=objective)
    on_cpus.change("e16", 64, foreign_cpus=1.5)
    assert found(foreign_load, on_cpus) == []


def test_nobody_slows_a_simulated_server_down(on_cpus, found):
    on_cpus.change_all(simulated=True)
    on_cpus.change("e16", foreign_cpus=1.5)
    assert found(foreign_load, on_cpus) == []


def test_what_is_not_known_is_not_compared(on_cpus, found):
    """Rows of an older version, and servers whose processes cannot be seen."""
    on_cpus.change("e16", foreign_cpus=None, own_cpus=None, node_cpus=None)
    assert found(foreign_load, on_cpus) == []


def test_it_is_printed_beside_the_winner_from_the_rows_on_disk(store, experiments, measure):
    for experiment, latency_s, foreign in zip(experiments, (1.0, 1.2), (0.1, 0.9), strict=False):
        attempt = Attempt("study1", experiment, 1)
        for level in experiment.levels:
            result = measure(attempt, level, latency_s=latency_s)
            cpus = NodeCpus(2, 1.5, foreign).columns
            store.write_level(attempt, replace(result, summary={**result.summary, **cpus}))
        known = {"study": store.study.name, "parameters": store.study.parameters}
        facts = {"simulated": False}
        store.write_experiment(experiment_row(attempt, Completed(), facts=facts, **known))
    console = Console(file=io.StringIO(), width=100)
    print_findings(load_results(store.paths.root), console, "results")
    told = " ".join(console.file.getvalue().split())
    assert "serious: others used 0.9 of the node's 2 CPUs" in told
    assert f"of {experiments[1].label}, and 0.1 at the same level of the leader" in told
