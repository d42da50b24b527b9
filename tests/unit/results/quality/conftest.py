"""A study without a flaw, for tests to put one into."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from autotuner.results.confidence.verdict import Interval, Verdict, VerdictKind
from autotuner.results.parameter_columns import parameter_columns
from autotuner.results.quality.finding import Finding
from autotuner.results.quality.inspected import Inspected
from autotuner.results.score import EntryStatus, Ranking, RankingEntry, Score
from autotuner.results.study_record import ExpectedExperiment, SearchedSpace, StudyRecord
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint, Direction, Objective, Over
from autotuner.spec.study import Axis
from autotuner.spec.workload import Level

START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
SEQS = {"e8": 8, "e16": 16, "e32": 32, "e64": 64}
CONCURRENCY = (1, 8, 64)
# The second level is the best, so that the optimum lies within.
THROUGHPUT = {1: 100.0, 8: 500.0, 64: 400.0}
WORTH = {"base": 0.9, "e8": 0.8, "e16": 1.0, "e32": 1.2, "e64": 0.95}

Row = dict[str, Any]


@dataclass(repr=False)
class Draft:
    """A flawless study, whose parts may be changed before it is looked at."""

    judging: Judging = field(
        default_factory=lambda: Judging(
            Objective("throughput", "output_throughput_tok_s", Direction.MAXIMIZE, over=Over.BEST),
            constraints=(Constraint("ttft_s", "p99", 1.0),),
        )
    )
    experiments: list[ExpectedExperiment] = field(default_factory=lambda: list(expected()))
    attempts: list[Row] = field(default_factory=lambda: list(attempt_rows()))
    levels: list[Row] = field(default_factory=lambda: list(level_rows()))
    pooled: list[Row] = field(default_factory=lambda: list(pooled_rows()))
    samples: dict[str, tuple[float, ...]] = field(default_factory=dict)
    statuses: dict[str, EntryStatus] = field(default_factory=dict)
    best_level: str | None = "chat D(100,100) c=8"
    servers: int | None = None
    search: SearchedSpace | None = None
    verdict: Verdict = field(
        default_factory=lambda: Verdict(
            VerdictKind.WINNER,
            "e32",
            (),
            (),
            None,
            {
                id_: Interval(1.2 / worth - 1, 0.1, 0.6)
                for id_, worth in WORTH.items()
                if id_ != "e32"
            },
            0.005,
            10.0,
            0.95,
            0.02,
        )
    )

    def change(self, experiment_id: str, concurrency: int | None = None, **values: Any) -> None:
        """Set columns of an experiment's level rows, single and pooled."""
        for row in (*self.levels, *self.pooled):
            if row["experiment_id"] == experiment_id and concurrency in (None, row["concurrency"]):
                row.update(values)

    def change_all(self, **values: Any) -> None:
        for row in (*self.levels, *self.pooled, *self.attempts):
            row.update({name: value for name, value in values.items() if name in row})

    def add_attempt(self, experiment_id: str, **values: Any) -> str:
        """One more attempt of an experiment; its id."""
        number = 1 + sum(row["experiment_id"] == experiment_id for row in self.attempts)
        self.attempts.append(attempt_row(experiment_id, number) | values)
        return f"{experiment_id}-a{number}"

    def inspected(self) -> Inspected:
        study = StudyRecord(
            study_id="study1",
            name="flawless",
            created_at=START,
            autotuner_version="0.1.0",
            judging=self.judging,
            parameters=parameter_columns(
                [Axis("max-num-seqs", tuple({"max-num-seqs": n} for n in SEQS.values()))]
            ),
            experiments=tuple(self.experiments),
            search=self.search,
        )
        completed = {r["experiment_id"] for r in self.attempts if r["outcome"] == "completed"}
        counting = {
            row["experiment_id"]: (row["attempt_id"],)
            for row in self.attempts
            if row["experiment_id"] not in completed
        }
        for row in self.attempts:
            if row["outcome"] == "completed":
                id_ = row["experiment_id"]
                counting[id_] = (*counting.get(id_, ()), row["attempt_id"])
        return Inspected(
            study=study,
            ranking=self.ranking(counting),
            attempts=tuple(self.attempts),
            levels=tuple(self.levels),
            pooled=tuple(self.pooled),
            counting=counting,
            compared=counting,
        )

    def ranking(self, counting: dict[str, tuple[str, ...]]) -> Ranking:
        completed = {r["attempt_id"] for r in self.attempts if r["outcome"] == "completed"}
        entries = [
            self.entry(e, sum(attempt in completed for attempt in counting.get(e.id, ())))
            for e in sorted(self.experiments, key=lambda e: -WORTH.get(e.id, 0.1))
        ]
        return Ranking(
            objective="throughput",
            direction=Direction.MAXIMIZE,
            column="output_throughput_tok_s",
            unit="tok/s",
            entries=tuple(entries),
            caveat="",
            verdict=self.verdict,
        )

    def entry(self, experiment: ExpectedExperiment, servers: int) -> RankingEntry:
        id_ = experiment.id
        status = self.statuses.get(id_, EntryStatus.FEASIBLE)
        value = 500.0 * WORTH.get(id_, 0.1)
        feasible = status is EntryStatus.FEASIBLE
        samples = self.samples.get(id_, (value, 1.001 * value, 0.999 * value)[:servers])
        return RankingEntry(
            rank=1 if feasible else None,
            experiment_id=id_,
            label=experiment.label,
            score=Score(
                value=value if feasible else None,
                unit="tok/s",
                feasible=feasible,
                reason="" if feasible else "engine_version 0.8 where most have 0.9",
                level=self.best_level,
                samples=samples,
            ),
            status=status,
            is_baseline=experiment.is_baseline,
            servers=servers if self.servers is None else self.servers,
        )


def expected() -> Iterator[ExpectedExperiment]:
    levels = tuple(
        Level("chat", "D(100,100)", concurrency, repeat)
        for repeat in range(2)
        for concurrency in CONCURRENCY
    )
    yield ExpectedExperiment("base", "defaults", {}, levels, is_baseline=True)
    for id_, number in SEQS.items():
        yield ExpectedExperiment(id_, f"max-num-seqs={number}", {"max-num-seqs": number}, levels)


def attempt_rows() -> Iterator[Row]:
    for id_ in WORTH:
        yield attempt_row(id_, 1)
        yield attempt_row(id_, 2) | {"purpose": "confirm"}
    yield attempt_row("base", 3) | {"purpose": "drift_check"}


def attempt_row(experiment_id: str, number: int) -> Row:
    return {
        "experiment_id": experiment_id,
        "attempt_id": f"{experiment_id}-a{number}",
        "attempt": number,
        "purpose": "search",
        "outcome": "completed",
        "failure_kind": None,
        "failure_message": None,
        "engine": "vllm",
        "engine_version": "0.9.1",
        "simulated": False,
        "bench": "genai-bench",
        "bench_version": "0.0.5",
        "host": "node-a",
        "gpus": 1,
        "gpu_model": "H100",
        "cpus_server": None,
        "cpus_load": None,
        "nice": 0,
        "omp_num_threads": None,
        "concurrent_attempts": 0,
        "neighbours_mean": 0.0,
        "swept": None,
        "slot_fault": None,
    }


def level_rows() -> Iterator[Row]:
    for n, attempt in enumerate(attempt_rows()):
        for repeat in range(2):
            for place, concurrency in enumerate(CONCURRENCY):
                yield level_row(attempt["experiment_id"], concurrency) | {
                    "attempt_id": attempt["attempt_id"],
                    "repeat": repeat,
                    "started_at": START + timedelta(hours=n, minutes=10 * repeat + place),
                }


def pooled_rows() -> Iterator[Row]:
    for id_ in WORTH:
        for concurrency in CONCURRENCY:
            yield level_row(id_, concurrency) | {"measurements": 4}


def level_row(experiment_id: str, concurrency: int) -> Row:
    throughput = WORTH[experiment_id] * THROUGHPUT[concurrency]
    return {
        "experiment_id": experiment_id,
        "attempt_id": f"{experiment_id}-a1",
        "workload": "chat",
        "scenario": "D(100,100)",
        "concurrency": concurrency,
        "repeat": 0,
        "status": "ok",
        "reason": None,
        "started_at": START,
        "duration_s": 1000.0,
        "requests": 2000,
        "requests_completed": 2000,
        "requests_failed": 0,
        "requests_cut": 0,
        "requests_short": 0,
        "error_rate": 0.0,
        "output_tokens_mean": 100.0,
        "output_tokens_cut": 0.0,
        "output_throughput_tok_s": throughput,
        "requests_per_s": 2.0,
        "ttft_s_count": 2000,
        "ttft_s_p99": 0.5,
        "client_processes": 1,
        "client_cpu_share": 0.3,
        "node_cpus": 128,
        "own_cpus": 3.0,
        "foreign_cpus": 0.2,
        "foreign_cpus_unknown": None,
        "simulated": False,
    }


@pytest.fixture
def draft() -> Draft:
    return Draft()


@pytest.fixture
def found() -> Callable[..., list[Finding]]:
    """All findings of one check over a draft."""

    def run(check: Callable[[Inspected], Iterator[Finding]], draft: Draft) -> list[Finding]:
        return list(check(draft.inspected()))

    return run


@pytest.fixture
def only() -> Callable[..., Finding]:
    """The one finding of a check over a draft."""

    def run(check: Callable[[Inspected], Iterator[Finding]], draft: Draft) -> Finding:
        findings: Sequence[Finding] = list(check(draft.inspected()))
        assert len(findings) == 1
        return findings[0]

    return run
