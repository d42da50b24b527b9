"""What a person sees while a study runs and after it: one small simulated study, all outcomes."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console

from autotuner import StudyResults, StudySpec, plan, run
from autotuner.cli.conclusions import print_findings, print_winner
from autotuner.cli.display import Progress, progress_display
from autotuner.cli.run import exit_status
from autotuner.cli.tables import print_failures, print_ranking
from autotuner.cli.times import print_gpu_time, print_timings
from autotuner.driver.progress import (
    AttemptFinished,
    AttemptStarted,
    AttemptWaiting,
    CandidatesRefused,
    EnginesAsked,
    FlagsRefused,
    LevelFinished,
    NodeNotReady,
    NodesPrepared,
    NodesPreparing,
    StudyEvent,
)
from autotuner.execution.local import LocalExecutor
from autotuner.results.experiments import experiment_row
from autotuner.results.level_rows import skipped
from autotuner.results.load import load_results
from autotuner.results.store import ResultStore
from autotuner.spec.experiment import Cancelled, Completed, Pruned
from autotuner.spec.objective import Constraint, Over

STUDY = """
study: shown
engine: {name: sim, flags: {time-scale: 0.1}}
model: sim-model
parameters:
  max-num-seqs: [4]
  fault-oom-at-start: [false, true]
workloads:
  - {name: chat, scenario: "D(20,10)", concurrency: [1, 2], stop: {seconds: 20, requests: 6}}
objective: {name: maximize_throughput, at: {concurrency: 2}}
baseline: false
finalist_servers: 1
order: plan
resources: {gpus: 0, cpus: 1}
bench: closed-loop
output: out
"""


@dataclass
class Shown:
    events: list[StudyEvent]
    results: StudyResults


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    folder: Path = tmp_path_factory.mktemp("shown")
    (folder / "study.yaml").write_text(STUDY)
    planned = plan(StudySpec.from_file(folder / "study.yaml"))
    events: list[StudyEvent] = []
    with LocalExecutor(cpus=1) as executor:
        results = run(planned, executor=executor, on_event=events.append)
    return Shown(events, results)


def displayed(events: list[StudyEvent], *, terminal: bool) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=160, color_system=None)
    with progress_display(console) as on_event:
        for event in events:
            on_event(event)
    return text.getvalue()


def printed(show: object, results: StudyResults) -> str:
    text = io.StringIO()
    assert callable(show)
    show(results, Console(file=text, width=160))
    return text.getvalue()


def test_plain_lines_name_each_level_with_units_and_each_outcome_with_its_cause(
    shown: Shown,
) -> None:
    text = displayed(shown.events, terminal=False)
    assert "2 experiments x 2 levels" in text
    assert "SIMULATED" in text
    assert "[1/2] chat D(20,10) c=1: " in text
    assert " tok/s, TTFT p50 " in text
    assert "[1/2] completed" in text
    assert "out_of_memory_at_load at server start" in text
    assert "CUDA out of memory" in text
    assert "0 running, 1 done, 1 failed, 0 left" in text


def test_an_attempt_that_has_to_wait_says_for_whom(shown: Shown) -> None:
    started = next(event for event in shown.events if isinstance(event, AttemptStarted))
    waiting = AttemptWaiting(started.attempt, "node-7", 61.0)
    text = displayed([shown.events[0], started, waiting], terminal=False)
    assert "[1/2] still not begun after 61 s: another user may hold" in text
    assert "of node-7" in text


def test_a_cancelled_attempt_tells_nothing_of_the_time_to_go(shown: Shown) -> None:
    started = next(event for event in shown.events if isinstance(event, AttemptStarted))
    ended = AttemptFinished(started.attempt, Cancelled("interrupted"), will_retry=False)
    text = displayed([shown.events[0], started, ended], terminal=False)
    assert "cancelled: interrupted; 0 running, 0 done, 0 failed, 2 left\n" in text


def test_the_live_display_shows_the_current_level(shown: Shown) -> None:
    # Rendered after each event, without waiting for a refresh.
    progress, text = Progress(), io.StringIO()
    console = Console(file=text, width=160)
    for event in shown.events:
        progress.update(event)
        console.print(progress.render())
    assert "level 1/2: chat D(20,10) c=1" in text.getvalue()
    assert "level 2/2: chat D(20,10) c=2" in text.getvalue()


def test_a_terminal_keeps_the_lines_and_ends_with_the_tally(shown: Shown) -> None:
    text = displayed(shown.events, terminal=True)
    assert "[1/2] completed" in text
    assert "0 running, 1 done, 1 failed, 0 left" in text


def test_the_table_ranks_what_completed_and_marks_it_as_simulated(shown: Shown) -> None:
    text = printed(print_ranking, shown.results)
    assert "SIMULATED" in text
    assert "c=1" in text
    assert "c=2" in text
    verdict, ranked, failed = (line for line in text.splitlines() if "max-num-seqs=4" in line)
    assert verdict.startswith("winner: max-num-seqs=4")
    assert ranked.split()[0] == "1"
    assert failed.split()[0] == "-"


def test_a_failure_is_shown_with_its_kind_and_the_line_of_the_log(shown: Shown) -> None:
    text = printed(print_failures, shown.results)
    assert "fault-oom-at-start: out_of_memory_at_load: " in text
    assert "CUDA out of memory" in text


def test_the_winner_comes_with_a_command_that_can_be_run(shown: Shown) -> None:
    text = printed(print_winner, shown.results)
    assert "best (simulated): max-num-seqs=4" in text
    assert "--max-num-seqs 4" in text
    assert "--port 8000" in text


def test_where_all_break_a_constraint_nothing_is_recommended(shown: Shown) -> None:
    study = shown.results.study
    judging = replace(study.judging, constraints=(Constraint("ttft_s", "p50", 1e-9),))
    strict = replace(study, judging=judging)
    results = replace(shown.results, study=strict)
    assert "no configuration qualifies" in printed(print_winner, results)
    assert "ttft_s_p50 is" in printed(print_failures, results)
    assert (exit_status(shown.results), exit_status(results)) == (0, 2)


def test_the_best_of_single_measurements_is_not_called_a_winner(shown: Shown) -> None:
    (first,) = shown.results.ranking().feasible
    study = shown.results.study
    twin = replace(study.experiments[0], id="twin", label="twin")
    measured = shown.results._measured
    close = replace(
        shown.results,
        study=replace(study, experiments=(*study.experiments, twin)),
        _measured={**measured, "twin": measured[first.experiment_id]},
    )
    assert "not enough evidence: " in printed(print_ranking, close)
    best = printed(print_winner, close)
    assert "not enough evidence to call it the winner" in best
    assert "--max-num-seqs 4" in best


def test_doubts_come_with_their_remedy(shown: Shown) -> None:
    text = io.StringIO()
    print_findings(shown.results, Console(file=text, width=160), Path("out"))
    assert "simulated" in text.getvalue()


def test_timings_have_a_column_for_every_phase(shown: Shown) -> None:
    text = printed(print_timings, shown.results)
    for word in ("actor", "server", "warmup", "load", "overhead", "stop"):
        assert word in text


def test_the_shares_of_the_reserved_time_come_with_times_and_percentages(shown: Shown) -> None:
    text = printed(print_gpu_time, shown.results)
    header, times, percentages = (
        next(line for line in text.splitlines() if word in line) for word in ("start", " s ", "%")
    )
    assert header.split() == ["all", "start", "warm-up", "load", "overhead", "idle"]
    assert len(times.split()) == 2 * len(header.split())
    assert sum(map(int, percentages.replace("%", "").split()[1:])) in range(97, 104)


def reserved(shown: Shown, **columns: object) -> str:
    rows = shown.results.attempts.assign(**columns)
    return printed(print_gpu_time, replace(shown.results, attempts=rows))


def test_time_between_attempts_is_told_of_gpus_alone(shown: Shown) -> None:
    assert "stood idle" not in printed(print_gpu_time, shown.results)
    count = len(shown.results.attempts)
    text = reserved(shown, gpus=2, gpu_ids=[["0", "1"]] * count)
    assert "reserved GPU time" in text
    assert "Between attempts, 2 GPUs stood idle for " in text


def test_of_lost_attempts_the_shares_are_not_told(shown: Shown) -> None:
    phases = [name for name in shown.results.attempts if name.startswith("seconds_")]
    text = reserved(shown, **{**dict.fromkeys(phases, None), "seconds_reserved": 30.0})
    assert "not told" in text
    assert "attempts that were lost" in text


def test_rows_of_before_there_were_shares_print_nothing_of_them(shown: Shown) -> None:
    assert reserved(shown, seconds_reserved=None) == ""


def test_the_preparation_of_nodes_is_a_line_for_each_thing_worth_one() -> None:
    text = displayed(
        [
            NodesPreparing("docker", ("a", "b", "c", "d", "e")),
            NodeNotReady("a", ("daemon, no\nanswer: Start it.", "image: absent. Pull it.")),
            NodesPrepared("docker", ("b", "c"), 240.0, ("runtime [old]. Upgrade it.",)),
        ],
        terminal=False,
    )
    assert [line.split("  ", 1)[1] for line in text.splitlines()] == [
        "preparing 5 nodes for docker; an image may take a while",
        "a is not ready: daemon, no answer: Start it.; image: absent. Pull it.",
        "ready after 4 min: b, c",
        "warning: runtime [old]. Upgrade it.",
    ]


def test_candidates_that_cannot_fit_are_counted_with_the_arithmetic_of_one(shown: Shown) -> None:
    started = next(event for event in shown.events if isinstance(event, AttemptStarted))
    one = (started.attempt.experiment, "2 GB > 1 GB")
    text = displayed([CandidatesRefused((one, one))], terminal=False)
    assert "2 candidates are not measured, as they cannot fit" in text
    assert "2 GB > 1 GB" in text


def test_levels_that_are_left_out_are_told_once_with_the_reason(shown: Shown) -> None:
    started = next(event for event in shown.events if isinstance(event, AttemptStarted))
    attempt, planned = started.attempt, replace(started, levels=())
    levels = attempt.experiment.levels
    left_out = [LevelFinished(attempt, skipped(level, attempt, "too slow")) for level in levels]
    pruned = AttemptFinished(attempt, Pruned("behind by 40 %"), will_retry=False)
    text = displayed([shown.events[0], planned, *left_out, pruned], terminal=False)
    assert text.count("no more levels: too slow") == 1
    assert "given up, as it cannot win: behind by 40 %; 0 running, 1 done, 0 failed" in text


def test_where_levels_are_decided_one_by_one_the_display_counts_them(shown: Shown) -> None:
    progress, text = Progress(), io.StringIO()
    console = Console(file=text, width=160)
    for event in shown.events:
        planned = replace(event, levels=()) if isinstance(event, AttemptStarted) else event
        progress.update(planned)
        console.print(progress.render())
    assert "max-num-seqs=4 fault-oom-at-start=off: level 1\n" in text.getvalue()
    assert "max-num-seqs=4 fault-oom-at-start=off: level 2\n" in text.getvalue()


def test_the_table_marks_what_was_skipped_and_what_was_given_up(
    shown: Shown, tmp_path: Path
) -> None:
    study = shown.results.study
    objective = replace(study.judging.objective, over=Over.BEST, concurrency=None)
    record = replace(study, judging=replace(study.judging, objective=objective))
    store = ResultStore.create(tmp_path / "pruned", record)
    started = {e.attempt.experiment.id: e for e in shown.events if isinstance(e, AttemptStarted)}
    for outcome, one in zip((Completed(), Pruned("behind by 40 %")), started.values(), strict=True):
        attempt = replace(one.attempt, number=1)
        first, second = attempt.experiment.levels
        loads = [e for e in shown.events if isinstance(e, LevelFinished)]
        row = {**loads[0].result.summary, "experiment_id": attempt.experiment.id}
        row |= {"attempt_id": attempt.id}
        store.write_level(attempt, replace(loads[0].result, level=first, summary=row))
        store.write_level(attempt, skipped(second, attempt, "too slow"))
        facts = {"simulated": True}
        store.write_experiment(
            experiment_row(
                attempt, outcome, study="shown", parameters=study.parameters, facts=facts
            )
        )
    results = load_results(tmp_path / "pruned")
    table = printed(print_ranking, results)
    assert "· skipped: the levels before showed that it is not worth it" in table
    (given_up,) = (x for x in table.splitlines() if x.split()[:1] == ["<"])
    assert "·" in given_up
    assert ": given up, behind by 40 %" in printed(print_failures, results)


def test_engines_that_are_asked_for_their_flags_and_refuse_some_are_a_line_each() -> None:
    unknown = "has no flag --x; did you mean `y`?"
    text = displayed(
        [
            EnginesAsked("vllm", ("a", "b")),
            FlagsRefused(("b",), "vllm 0.11.0", (unknown, "does not take fp9 for --z")),
        ],
        terminal=False,
    )
    assert [line.split("  ", 1)[1] for line in text.splitlines()] == [
        "asking vllm which flags it knows, on a, b",
        f"warning: vllm 0.11.0 on b {unknown}; does not take fp9 for --z; not so on every node: "
        "use one version of the engine",
    ]
