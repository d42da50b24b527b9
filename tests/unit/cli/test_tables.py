"""Tables of results that no server had to be started for."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from autotuner.cli import conclusions
from autotuner.cli.conclusions import print_findings, print_winner
from autotuner.cli.results import ranking_json
from autotuner.cli.tables import print_failures, print_ranking
from autotuner.results.files import ResultPaths
from autotuner.results.limits import LevelRow
from autotuner.results.load import StudyResults
from autotuner.results.measured import Measured
from autotuner.results.quality.finding import Finding, Severity
from autotuner.results.schema import LEVELS, experiments_schema
from autotuner.results.study_record import ExpectedExperiment, StudyRecord
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint, Direction, Objective, Over, Penalty
from autotuner.spec.workload import Level

LOW, HIGH = Level("chat", "D(100,100)", 1), Level("chat", "D(100,100)", 16)
THROUGHPUT = Objective("t", "output_throughput_tok_s", Direction.MAXIMIZE, over=Over.BEST)
TTFT_P99 = Objective("t", "ttft_s", Direction.MINIMIZE, "p99", over=Over.WORST)


def row(level: Level, throughput: float, *, ttft_s: float = 0.1, count: int = 1000) -> LevelRow:
    return {
        "experiment_id": "",
        "workload": level.workload,
        "scenario": level.scenario,
        "concurrency": level.concurrency,
        "repeat": 0,
        "status": "ok",
        "reason": None,
        "output_throughput_tok_s": throughput,
        "ttft_s_p50": ttft_s,
        "ttft_s_p99": ttft_s,
        "ttft_s_count": count,
        "simulated": False,
        "measurements": 1,
    }


def on_servers(*throughputs: float, **more: float) -> Measured:
    def levels(throughput: float) -> dict[Level, LevelRow]:
        return {
            LOW: row(LOW, 1.0, **more),  # type: ignore[arg-type]
            HIGH: row(HIGH, throughput, **more),  # type: ignore[arg-type]
        }

    pooled = levels(sum(throughputs) / len(throughputs))
    return Measured("completed", "", pooled, tuple(levels(t) for t in throughputs))


def results_of(
    measured: Mapping[str, Measured],
    judging: Judging | None = None,
    *,
    baseline: str | None = None,
    apart: Mapping[str, str] | None = None,
) -> StudyResults:
    plan = tuple(
        ExpectedExperiment(id_, f"label-{id_}", {}, (LOW, HIGH), f"serve {id_}") for id_ in measured
    )
    plan = tuple(replace(e, is_baseline=e.id == baseline) for e in plan)
    when = datetime(2025, 3, 1, tzinfo=UTC)
    study = StudyRecord("id", "tiny", when, "0", judging or Judging(THROUGHPUT), (), plan)
    named = {
        id_: replace(m, levels={k: {**v, "experiment_id": id_} for k, v in m.levels.items()})
        for id_, m in measured.items()
    }
    empty = experiments_schema([]).empty_table().to_pandas()
    return StudyResults(
        study=study,
        experiments=empty,
        levels=LEVELS.empty_table().to_pandas(),
        attempts=empty,
        chosen={id_: (f"{id_}-a1",) for id_ in measured},
        compared={id_: (f"{id_}-a1",) for id_ in measured},
        _paths=ResultPaths(Path("results")),
        _measured=named,
        _apart=apart or {},
        _all_attempts=False,
    )


def printed(show: Callable[..., None], *arguments: object) -> str:
    text = io.StringIO()
    results, *more = arguments
    show(results, Console(file=text, width=160), *more)
    return text.getvalue()


CLEAR = {
    "a": on_servers(100, 100.4, 99.6, 100.1),
    "b": on_servers(50, 50.2, 49.8, 50.1),
    "c": on_servers(25),
}
CLOSE = {
    "a": on_servers(100.2, 100.1, 100.0, 100.1, 100.2),
    "b": on_servers(100.0, 100.1, 100.1, 100.0, 100.2),
}


def line_of(text: str, label: str) -> list[str]:
    (found,) = [line for line in text.splitlines() if line.lstrip()[2:].lstrip().startswith(label)]
    return found.split()


def test_the_verdict_stands_above_the_table() -> None:
    text = printed(print_ranking, results_of(CLEAR))
    title, verdict = text.strip().splitlines()[:2]
    assert title.startswith("tiny: maximize output_throughput_tok_s")
    assert verdict.startswith("winner: label-a, 100")


def test_a_winner_is_recommended_with_its_lead() -> None:
    text = printed(print_winner, results_of(CLEAR))
    assert "best: label-a, 100.0 % better than the next" in text
    assert "serve a" in text


def test_a_tie_is_never_called_a_winner() -> None:
    results = results_of(CLOSE)
    text = printed(print_ranking, results)
    assert "tied: label-a with label-b (none is more than 0.1 % better)" in text
    best = printed(print_winner, results)
    assert "best: label-a, tied with 1 other" in best
    assert "winner" not in text + best
    assert "serve a" in best


def test_scores_have_intervals_and_servers_where_something_was_repeated() -> None:
    text = printed(print_ranking, results_of(CLEAR))
    assert "servers" in text
    first = line_of(text, "label-a")
    assert first[:3] == ["1", "label-a", "100"]
    assert first[4:6] == ["%", "4"]
    assert "servers" not in printed(print_ranking, results_of({"a": on_servers(1)}))


def test_everything_is_shown_relative_to_the_baseline() -> None:
    text = printed(print_ranking, results_of(CLEAR, baseline="b"))
    assert "+100.0 %" in " ".join(line_of(text, "label-a"))
    assert "-50.0 %" in " ".join(line_of(text, "label-c"))
    assert "label-b (baseline)" in text


def test_a_missed_soft_limit_is_marked() -> None:
    soft = Constraint("ttft_s", "p99", 0.05, penalty=Penalty(0.01, 1.0))
    text = printed(print_ranking, results_of(CLEAR, Judging(THROUGHPUT, (soft,))))
    assert "100*" in line_of(text, "label-a")
    assert "* misses a soft limit" in text
    assert "soft limit" not in printed(print_ranking, results_of(CLEAR))


def test_a_percentile_that_its_requests_cannot_support_is_marked() -> None:
    few, many = on_servers(1, count=298), on_servers(1, count=299, ttft_s=0.2)
    text = printed(print_ranking, results_of({"few": few, "many": many}, Judging(TTFT_P99)))
    assert "0.1†" in line_of(text, "label-few")
    assert "0.2" in line_of(text, "label-many")
    assert "†" not in printed(print_ranking, results_of({"few": few}))


def test_what_may_not_be_compared_is_listed_with_its_reason() -> None:
    results = results_of(CLEAR, apart={"a": "another GPU"})
    assert line_of(printed(print_ranking, results), "label-a")[0] == "≠"
    assert "label-a: another GPU" in printed(print_failures, results)
    assert "best: label-b" in printed(print_winner, results)


def test_a_running_study_says_how_much_is_to_come() -> None:
    running = Measured(None, "", {LOW: row(LOW, 1.0)})
    results = results_of({**CLEAR, "d": running})
    assert "(so far: 1 to come)" in printed(print_ranking, results)
    assert "so far, 1 to come" in printed(print_winner, results)


@pytest.mark.parametrize("count", [0, 5, 7])
def test_the_worst_findings_are_shown_and_the_others_counted(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    found: Sequence[Finding] = [
        Finding("k", Severity.WARNING, (), f"doubt {n}", "may be wrong", f"do {n}")
        for n in range(count)
    ]
    monkeypatch.setattr(conclusions, "inspect", lambda results: found)
    text = printed(print_findings, results_of(CLEAR), Path("results/tiny"))
    assert text.count("warning: doubt") == min(count, 5)
    assert text.count("    do ") == min(count, 5)
    assert ("2 more: autotuner report results/tiny" in text) == (count == 7)


def test_the_json_has_all_of_it() -> None:
    content = json.loads(json.dumps(ranking_json(results_of(CLEAR, baseline="b")), allow_nan=False))
    verdict = content["verdict"]
    assert (verdict["kind"], verdict["leader"]) == ("winner", "a")
    assert verdict["sentence"].startswith("winner: label-a")
    assert set(verdict["advantages"]) == {"b", "c"}
    assert set(verdict["advantages"]["b"]) == {"estimate", "low", "high"}
    first, second, _ = content["entries"]
    assert first["samples"] == [100, 100.4, 99.6, 100.1]
    assert first["servers"] == 4
    assert first["vs_baseline"] == pytest.approx(1.0, abs=0.01)
    assert first["interval"]["low"] < first["effective"] < first["interval"]["high"]
    assert first["penalty"] == 0
    assert second["is_baseline"] is True
    assert isinstance(content["findings"], list)


def test_a_study_without_a_measurement_has_no_result_and_no_number() -> None:
    failed = {"a": Measured("failed", "server_crashed", {})}
    results = results_of(failed)
    assert "no result" in printed(print_ranking, results)
    assert "no experiment succeeded" in printed(print_winner, results)
    assert ranking_json(results)["verdict"]["kind"] == "no_result"  # type: ignore[index]
    assert pd.isna(ranking_json(results)["entries"][0]["value"])  # type: ignore[index]
