"""Each way in which the first autotuner declared a wrong winner, as a rule that is kept here.

The first line of each docstring is what it did.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console

from autotuner.cli.tables import print_ranking
from autotuner.errors import OutputError, StudyFileError
from autotuner.node import measurement
from autotuner.node.events import AttemptOrder, LevelMeasured
from autotuner.node.experiment import run_attempt
from autotuner.planning import plan
from autotuner.results.confidence.verdict import VerdictKind
from autotuner.results.limits import LevelRow
from autotuner.results.load import load_results
from autotuner.results.measured import Measured
from autotuner.results.score import EntryStatus, Ranking, rank
from autotuner.results.store import ResultStore
from autotuner.results.study_record import ExpectedExperiment, StudyRecord
from autotuner.spec.experiment import Attempt, Experiment
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint, Direction, Objective, Over, Penalty
from autotuner.spec.study import StudySpec
from autotuner.spec.study_file import load_study
from autotuner.spec.workload import Level

LOW, HIGH = Level("chat", "D(100,100)", 1), Level("chat", "D(100,100)", 16)
WORST_LATENCY = Objective("latency", "e2e_latency_s", Direction.MINIMIZE, "mean", over=Over.WORST)
MEAN_LATENCY = replace(WORST_LATENCY, over=Over.SEED_MEAN)
BEST_THROUGHPUT = Objective(
    "throughput", "output_throughput_tok_s", Direction.MAXIMIZE, over=Over.BEST
)
MEAN_THROUGHPUT = replace(BEST_THROUGHPUT, over=Over.SEED_MEAN)


def ok(**numbers: float | None) -> LevelRow:
    return {"status": "ok", "reason": None, **numbers}


def completed(low: LevelRow | None, high: LevelRow | None) -> Measured:
    rows = {level: row for level, row in ((LOW, low), (HIGH, high)) if row is not None}
    return Measured("completed", "", rows, (rows,))


def latencies(low: float, high: float) -> Measured:
    return completed(ok(e2e_latency_s_mean=low), ok(e2e_latency_s_mean=high))


def throughputs(low: float | None, high: float | None) -> Measured:
    return completed(ok(output_throughput_tok_s=low), ok(output_throughput_tok_s=high))


def ranked(
    measured: Mapping[str, Measured], objective: Objective, *constraints: Constraint
) -> Ranking:
    plan_of_all = tuple(
        ExpectedExperiment(id_, f"label {id_}", {}, (LOW, HIGH)) for id_ in measured
    )
    return rank(plan_of_all, measured, Judging(objective, constraints))


def leader(ranking: Ranking) -> str | None:
    return ranking.winner.experiment_id if ranking.winner else None


def entry_status(ranking: Ranking, id_: str) -> EntryStatus:
    (found,) = [entry for entry in ranking.entries if entry.experiment_id == id_]
    return found.status


@pytest.mark.parametrize("objective", [WORST_LATENCY, MEAN_LATENCY])
def test_a_level_that_misses_its_limit_is_never_dropped(objective: Objective) -> None:
    """Levels beyond the SLO were dropped before the mean: whoever failed the heavy one won."""
    limit = Constraint("ttft_s", "p99", 1.0)
    measured = {
        "fails_heavy": completed(
            ok(e2e_latency_s_mean=0.3, ttft_s_p99=0.1), ok(e2e_latency_s_mean=0.2, ttft_s_p99=9.0)
        ),
        "passes": completed(
            ok(e2e_latency_s_mean=0.4, ttft_s_p99=0.1), ok(e2e_latency_s_mean=0.6, ttft_s_p99=0.9)
        ),
    }
    ranking = ranked(measured, objective, limit)
    assert leader(ranking) == "passes"
    assert entry_status(ranking, "fails_heavy") is EntryStatus.INFEASIBLE


@pytest.mark.parametrize("objective", [WORST_LATENCY, MEAN_LATENCY])
def test_who_crashed_before_the_heavy_level_does_not_win(objective: Objective) -> None:
    """Whatever files a crashed load generator had left were averaged."""
    measured = {
        "lost_it": completed(ok(e2e_latency_s_mean=0.1), None),
        "crashed": Measured("failed", "server_crashed", {LOW: ok(e2e_latency_s_mean=0.1)}),
        "all_stored_and_then_crashed": replace(latencies(0.1, 0.1), outcome="failed"),
        "whole": latencies(0.4, 0.6),
    }
    ranking = ranked(measured, objective)
    assert [entry.experiment_id for entry in ranking.feasible] == ["whole"]


def test_failed_requests_do_not_make_a_level_fast(
    store: ResultStore,
    study: StudyRecord,
    experiments: tuple[Experiment, ...],
    measure: Callable[..., object],
    write_attempt: Callable[..., Attempt],
) -> None:
    """Errors were ignored: with 96 % failed requests, the survivors were quick, and won."""
    write_attempt(store, experiments[1], latency_s=0.4)
    broken = write_attempt(store, experiments[0], latency_s=0.1)
    heavy = experiments[0].levels[1]
    store.write_level(broken, measure(broken, heavy, latency_s=0.1, completed=4, failed=96))  # type: ignore[arg-type]
    judging = replace(study.judging, objective=WORST_LATENCY)
    ResultStore.create(store.paths.root, replace(study, judging=judging))
    ranking = load_results(store.paths.root).ranking()
    assert leader(ranking) == "exp1"
    assert entry_status(ranking, "exp0") is EntryStatus.INFEASIBLE
    assert "96 of 100 requests failed" in ranking.entries[1].score.reason


STUDY = """
study: s
engine: {name: sim}
model: m
parameters: {max-num-seqs: [1, 2]}
workloads: [{scenario: 'D(100,100)', concurrency: [1, 16], stop: {seconds: 30}}]
objective: {name: maximize_throughput, at: {concurrency: 16}}
resources: {gpus: 1}
"""


def loaded(folder: Path, *changes: tuple[str, str]) -> StudySpec:
    text = STUDY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "study.yaml"
    path.write_text(text)
    return load_study(path)


AT_16 = "{name: maximize_throughput, at: {concurrency: 16}}"


def test_no_mean_over_concurrencies_is_taken_unless_asked_for(tmp_path: Path) -> None:
    """Throughput was averaged over concurrencies, which hides where a server saturates."""
    with pytest.raises(StudyFileError, match="objective"):
        loaded(tmp_path, (AT_16, "maximize_throughput"))
    limited = loaded(tmp_path, (AT_16, "maximize_throughput\nconstraints: {ttft_s: {p99: 1}}"))
    assert limited.judging.objective.over is Over.BEST
    saturates = throughputs(60, 60)
    scales = throughputs(10, 100)
    assert leader(ranked({"saturates": saturates, "scales": scales}, BEST_THROUGHPUT)) == "scales"


def test_scenarios_are_not_mixed_unless_weighted(tmp_path: Path) -> None:
    """Short and long prompts went into one mean."""
    two = (
        "[{scenario: 'D(100,100)', concurrency: [1, 16], stop: {seconds: 30}}]",
        "[{name: short, scenario: 'D(100,100)', concurrency: 16, stop: {seconds: 30}}, "
        "{name: long, scenario: 'D(1000,100)', concurrency: 16, stop: {seconds: 30}}]",
    )
    with pytest.raises(StudyFileError, match="objective"):
        loaded(tmp_path, two, (AT_16, "maximize_throughput"))


@pytest.mark.parametrize("missing", [None, -math.inf, math.inf, math.nan])
@pytest.mark.parametrize("objective", [BEST_THROUGHPUT, MEAN_THROUGHPUT])
@pytest.mark.parametrize("direction", list(Direction))
def test_a_missing_number_is_never_the_best(
    missing: float | None, objective: Objective, direction: Direction
) -> None:
    """A failed throughput scored -inf, everything was minimised, and -inf was the best."""
    measured = {"empty": throughputs(missing, missing), "sound": throughputs(1, 10)}
    ranking = ranked(measured, replace(objective, direction=direction))
    assert leader(ranking) == "sound"
    assert ranking.entries[1].score.value is None
    json.dumps(asdict(ranking), allow_nan=False)


def test_a_soft_limit_has_no_jump() -> None:
    """Just beyond the threshold, the penalty jumped from 0 to the whole score."""
    limit = Constraint("ttft_s", "p99", 5.0, penalty=Penalty(1.0, 0.1))
    beyond = ok(e2e_latency_s_mean=1.0, ttft_s_p99=5.0000001)
    within = ok(e2e_latency_s_mean=0.5, ttft_s_p99=0.1)
    measured = {
        "at_it": completed(within, ok(e2e_latency_s_mean=1.001, ttft_s_p99=5.0)),
        "beyond": completed(within, beyond),
    }
    ranking = ranked(measured, WORST_LATENCY, limit)
    assert leader(ranking) == "beyond"
    assert ranking.entries[0].score.effective == pytest.approx(1.0, rel=1e-6)


def test_a_penalty_never_overflows_and_a_failure_never_beats_it() -> None:
    """``exp`` overflowed to inf, and a server that timed out beat one that was slow."""
    limit = Constraint("ttft_s", "p99", 0.001, penalty=Penalty(100.0, 0.01))
    row = ok(e2e_latency_s_mean=1.0, ttft_s_p99=1e6)
    measured = {
        "timed_out": Measured("failed", "launch_timeout", {}),
        "far_beyond": completed(row, row),
    }
    ranking = ranked(measured, WORST_LATENCY, limit)
    assert leader(ranking) == "far_beyond"
    assert math.isfinite(ranking.entries[0].score.effective or math.inf)
    json.dumps(asdict(ranking), allow_nan=False)


def test_another_study_s_files_are_refused(
    store: ResultStore,
    study: StudyRecord,
    experiments: tuple[Experiment, ...],
    write_attempt: Callable[..., Attempt],
) -> None:
    """Files that an earlier run had left in the folder joined the new mean."""
    write_attempt(store, experiments[0])
    with pytest.raises(OutputError, match="another study"):
        ResultStore.create(store.paths.root, replace(study, name="other"))
    write_attempt(store, replace(experiments[1], id="of_an_earlier_run"), latency_s=0.001)
    with pytest.raises(OutputError, match="of_an_earlier_run-a1, whose experiment is not in its"):
        load_results(store.paths.root)


SCENARIOS = (
    "D(100,100)",
    "N(480,240)/(300,150)",
    "U(10,20)/(30,40)",
    "I(512,512)",
    "E(1024)",
    "R(200,20)",
    "dataset",
)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_any_scenario_is_read(
    tmp_path: Path,
    study: StudyRecord,
    experiments: tuple[Experiment, ...],
    write_attempt: Callable[..., Attempt],
    scenario: str,
) -> None:
    """Results were found by the pattern ``D*.json``: other scenarios had no results."""
    workloads = tuple(replace(w, scenario=scenario) for w in experiments[0].workloads)
    experiment = replace(experiments[0], workloads=workloads)
    only = replace(study.experiments[0], levels=experiment.levels)
    store = ResultStore.create(tmp_path / "any", replace(study, experiments=(only,)))
    for number in (1, 2):
        write_attempt(store, experiment, number=number)
    results = load_results(store.paths.root)
    assert set(results.pooled_levels["scenario"]) == {scenario}
    assert leader(results.ranking()) == "exp0"


def test_one_missing_statistic_does_not_discard_the_experiment() -> None:
    """One null, such as the TPOT of answers of one token, discarded everything."""
    one_token = completed(
        ok(output_throughput_tok_s=1.0, tpot_s_p99=None),
        ok(output_throughput_tok_s=20.0, tpot_s_p99=None),
    )
    ranking = ranked({"one_token": one_token, "other": throughputs(1, 10)}, BEST_THROUGHPUT)
    assert leader(ranking) == "one_token"
    assert len(ranking.feasible) == 2


def test_one_measurement_each_makes_no_winner_of_one_percent() -> None:
    """Differences of 1 % between single measurements were reported as winners, and flipped."""
    once = {"a": latencies(0.1, 0.1888), "b": latencies(0.1, 0.1904)}
    assert ranked(once, WORST_LATENCY).verdict.kind is VerdictKind.NOT_ENOUGH_EVIDENCE


def test_one_percent_within_the_noise_is_a_tie_and_no_winner() -> None:
    """The same configuration, run five times, differed by 0.8 %; its rival by less than that."""

    def on_servers(values: Sequence[float]) -> Measured:
        attempts = tuple(throughputs(1, value).levels for value in values)
        return Measured("completed", "", throughputs(1, sum(values) / 5).levels, attempts)

    measured = {
        "a": on_servers((192.03, 191.27, 191.99, 191.63, 190.54)),
        "b": on_servers((191.10, 192.40, 190.90, 191.80, 191.20)),
    }
    verdict = ranked(measured, BEST_THROUGHPUT).verdict
    assert (verdict.kind, verdict.tied_with) == (VerdictKind.TIED, ("b",))


def test_the_first_level_is_not_cold(
    make_order: Callable[..., AttemptOrder],
    make_workload: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a warm-up, the first level took the cold start: 22 s instead of 6 s at p90."""
    warm_ups: list[str] = []
    warm_up = measurement.warm_up

    def recorded(*given: object, **more: object) -> None:
        warm_ups.append("warm")
        warm_up(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(measurement, "warm_up", recorded)
    workload = make_workload(concurrency=(1, 2), requests=3, warmup_requests=20)
    warm_before_level, levels = [], []
    for event in run_attempt(make_order(workloads=(workload,))):
        if isinstance(event, LevelMeasured):
            warm_before_level.append(list(warm_ups))
            levels.append(event.result)
    assert warm_before_level == [["warm"], ["warm"]]
    # None of its 20 requests is among the rows.
    assert all(level.status == "ok" and level.requests.num_rows < 20 for level in levels)


def test_the_length_of_a_level_is_in_seconds_and_says_so(tmp_path: Path) -> None:
    """The limit went to a load generator that counts in minutes: users meant seconds."""
    spec = loaded(tmp_path)
    assert spec.workloads[0].stop.seconds == 30.0
    for other in ("max_time_per_iteration: 30", "minutes: 30", "time: 30"):
        with pytest.raises(StudyFileError, match=other.split(":")[0]):
            loaded(tmp_path, ("seconds: 30", other))


@pytest.mark.parametrize("gpus", [0, 1, 8])
def test_the_objective_is_the_same_wherever_the_server_runs(tmp_path: Path, gpus: int) -> None:
    """Throughput was per GPU in one deployment mode, and of the server in the others."""
    spec = loaded(tmp_path, ("gpus: 1", f"gpus: {gpus}"))
    assert spec.judging.objective.column == "output_throughput_tok_s"
    if gpus:
        per_gpu = ("concurrency: 16}}", "concurrency: 16}, per_gpu: true}")
        spec = loaded(tmp_path, ("gpus: 1", f"gpus: {gpus}"), per_gpu)
        assert spec.judging.objective.column == "output_throughput_tok_s_per_gpu"


def test_the_grid_is_never_cut_short(tmp_path: Path) -> None:
    """Only the head of the grid was measured, so that the first parameters never varied."""
    values = "max-num-seqs: [1, 2, 3, 4, 5, 6], time-scale: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"
    spec = loaded(
        tmp_path, ("max-num-seqs: [1, 2]", values), ("resources", "baseline: false\nresources")
    )
    planned = plan(spec)
    assert len(planned.experiments) == 60
    assert {e.parameters["max-num-seqs"] for e in planned.experiments} == {1, 2, 3, 4, 5, 6}
    with pytest.raises(StudyFileError, match="max_iterations"):
        loaded(tmp_path, ("resources", "max_iterations: 10\nresources"))


def test_a_percentile_of_too_few_requests_is_marked(
    store: ResultStore,
    study: StudyRecord,
    experiments: tuple[Experiment, ...],
    write_attempt: Callable[..., Attempt],
) -> None:
    """Fifty requests in three seconds ranked configurations by their 99th percentile."""
    write_attempt(store, experiments[0])
    p99 = Objective("ttft", "ttft_s", Direction.MINIMIZE, "p99", over=Over.WORST)
    judging = replace(study.judging, objective=p99)
    ResultStore.create(store.paths.root, replace(study, judging=judging))
    shown = io.StringIO()
    print_ranking(load_results(store.paths.root), Console(file=shown, width=160))
    text = shown.getvalue()
    assert "0.1†" in text
    assert "† from fewer requests than the statistic takes" in text
