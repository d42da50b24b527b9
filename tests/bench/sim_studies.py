"""Whole studies in virtual time: how often is the declared winner the true best?

    .venvs/autotuner/bin/python tests/bench/sim_studies.py [STUDIES]

The driver, the store, the ranking and the verdict are the real ones. Only time is not: instead of
a server, the simulated engine's own queueing model is stepped without a clock, each step noisy, and
each server a little faster or slower than the next, by the noise of the row. So the true speed of
each of the 24 configurations is known: that of its model without any noise.

Prints a row per noise and, as its last line, a JSON object. ``naive``: how often the best single
measurement was of the true best; ``extra``: attempts beyond one of each.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from autotuner.driver.loop import StudyDriver
from autotuner.driver.resume import past_of
from autotuner.engines.sim_model import Batch, Request, Timing, noise_factor
from autotuner.execution.base import Executor, ExecutorEvent, Node, NodeAnswer, Slot
from autotuner.node.events import AttemptEnded, AttemptOrder, LevelMeasured, PhaseStarted
from autotuner.planning import Plan, plan
from autotuner.results.confidence.verdict import VerdictKind
from autotuner.results.level_rows import level_result
from autotuner.results.levels import LevelResult, RequestRecord, RequestStatus
from autotuner.results.load import StudyResults, load_results
from autotuner.results.store import ResultStore
from autotuner.spec.experiment import Completed, Phase
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Direction, Objective
from autotuner.spec.server import Model, Value
from autotuner.spec.study import Axis, BenchConfig, EngineConfig, Resources, StudySpec
from autotuner.spec.workload import Level, StopRule, Workload
from autotuner.study import record_of

NOISE_CVS = (0.003, 0.01, 0.02, 0.05, 0.1, 0.2)
STEP_CV = 0.1
NOW = datetime(2025, 1, 1, tzinfo=UTC)
NODE = Node("virtual", "virtual", gpus=0, cpus=8)
AXES = {"max-num-seqs": [2, 3, 4, 6, 8, 12], "max-num-batched-tokens": [64, 128, 256, 512]}
PROMPT_TOKENS, ANSWER_TOKENS = 100, 20


def load(
    parameters: dict[str, Value],
    level: Level,
    timing: Timing,
    noise: random.Random | None,
    speed: float,
) -> list[RequestRecord]:
    """A closed loop of users against the model; times in virtual seconds."""
    batch = Batch(
        int(parameters.get("max-num-seqs", 8)), int(parameters.get("max-num-batched-tokens", 128))
    )
    started: dict[Request, float] = {}
    first: dict[Request, float] = {}
    order: deque[Request] = deque()
    records: list[RequestRecord] = []
    now, wanted = 0.0, 5 * level.concurrency

    def send() -> None:
        request = Request(PROMPT_TOKENS, ANSWER_TOKENS)
        started[request] = now
        order.append(request)
        batch.add(request)

    for _ in range(level.concurrency):
        send()
    while len(records) < wanted:
        step = batch.step()
        factor = noise_factor(noise, STEP_CV) if noise else 1.0
        now += timing.step_s(step.decode_tokens, step.prefill_tokens) * factor / speed
        for request in step.emitted:
            first.setdefault(request, now)
            if request.finished and len(records) < wanted:
                index = len(records)
                records.append(_completed(index, started[request], first[request], now))
                send()
    ended = {record.started_s for record in records}
    cut = [r for r in order if started[r] not in ended and not r.finished]
    for request in cut:
        chunks = ANSWER_TOKENS - request.output_left
        records.append(
            RequestRecord(
                len(records), RequestStatus.CUT, started[request], ended_s=now, output_chunks=chunks
            )
        )
    return records


def _completed(index: int, started: float, first: float, now: float) -> RequestRecord:
    return RequestRecord(
        index,
        RequestStatus.COMPLETED,
        started,
        ttft_s=first - started,
        e2e_latency_s=now - started,
        input_tokens=PROMPT_TOKENS,
        output_tokens=ANSWER_TOKENS,
        output_chunks=ANSWER_TOKENS,
    )


@dataclass
class Virtual(Executor):
    """Carries an attempt out at once, in virtual time."""

    cv: float
    seed: int
    attempts: int = 0
    clock: datetime = NOW
    queue: list[tuple[str, ExecutorEvent]] = field(default_factory=list)

    def nodes(self) -> tuple[Node, ...]:
        return (NODE,)

    def ask_nodes(self, calls: object, **limits: object) -> tuple[NodeAnswer[object], ...]:
        raise AssertionError("the driver asks nothing")

    def submit(self, order: AttemptOrder, slot: Slot) -> None:
        self.attempts += 1
        noise = random.Random(f"{self.seed} {order.attempt.id}")
        speed = noise_factor(noise, self.cv)
        started, self.clock = self.clock, self.clock + timedelta(minutes=1)
        levels = [self._level(order, level, noise, speed) for level in order.levels]
        facts = {"started_at": started, "ended_at": started + timedelta(seconds=50)}
        events = [
            PhaseStarted(Phase.LOAD),
            *map(LevelMeasured, levels),
            AttemptEnded(Completed(), facts),
        ]
        self.queue += [(order.attempt.id, event) for event in events]

    def _level(
        self, order: AttemptOrder, level: Level, noise: random.Random, speed: float
    ) -> LevelResult:
        parameters = dict(order.attempt.experiment.parameters)
        records = load(parameters, level, Timing(), noise, speed)
        return level_result(
            level,
            records,
            attempt=order.attempt,
            started_at=self.clock,
            gpus=0,
            failure=None,
            simulated=True,
        )

    def poll(self, timeout_s: float) -> list[tuple[str, ExecutorEvent]]:
        ready, self.queue = self.queue, []
        return ready

    def stop(self, attempt_id: str, reason: str) -> None: ...
    def kill(self, attempt_id: str) -> None: ...
    def close(self) -> None: ...


def study(folder: Path, seed: int) -> StudySpec:
    # Values are drawn for each study: where the best lies, and how near the next, is not ours.
    draw = random.Random(seed)
    axes = tuple(
        Axis(name, tuple({name: value + draw.randrange(value // 2)} for value in values))
        for name, values in AXES.items()
    )
    return StudySpec(
        name="virtual",
        engine=EngineConfig("sim"),
        model=Model("m", "m"),
        axes=axes,
        workloads=(
            Workload("chat", f"D({PROMPT_TOKENS},{ANSWER_TOKENS})", (24,), StopRule(3600.0)),
        ),
        judging=Judging(Objective("t", "output_throughput_tok_s", Direction.MAXIMIZE)),
        bench=BenchConfig("closed-loop"),
        resources=Resources(gpus=0),
        output=folder,
    )


def measure(planned: Plan, executor: Virtual) -> StudyResults:
    store = ResultStore.create(planned.spec.output, record_of(planned))
    past = past_of(planned, store, retry_failed=False)
    StudyDriver(
        planned, store, executor, past, on_event=lambda event: None, interrupt=threading.Event()
    ).run()
    return load_results(planned.spec.output)


def truth(planned: Plan) -> dict[str, float]:
    speeds = {}
    for experiment in planned.experiments:
        records = load(dict(experiment.parameters), experiment.levels[0], Timing(), None, 1.0)
        end = max(
            record.ended_s or record.started_s + (record.e2e_latency_s or 0) for record in records
        )
        tokens = sum(record.output_chunks or 0 for record in records)
        speeds[experiment.id] = tokens / end
    return speeds


@dataclass
class Tally:
    studies: int = 0
    covered: int = 0
    false_winners: int = 0
    winners: int = 0
    tied: int = 0
    naive_right: int = 0
    extra: int = 0


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    tallies = {cv: Tally() for cv in NOISE_CVS}
    began = time.monotonic()
    for seed in range(studies):
        cv = NOISE_CVS[seed % len(NOISE_CVS)]
        with tempfile.TemporaryDirectory() as folder:
            planned = plan(study(Path(folder) / "results", seed))
            executor = Virtual(cv, seed)
            count(tallies[cv], planned, measure(planned, executor), executor)
    heads = ("noise", "studies", "best in set", "false winner", "winner", "tied", "naive", "extra")
    print("  ".join(f"{head:>12}" for head in heads))
    for cv, t in ((cv, t) for cv, t in tallies.items() if t.studies):
        shares = (t.covered, t.false_winners, t.winners, t.tied, t.naive_right)
        cells = [f"{cv:.1%}", str(t.studies), *(f"{n / t.studies:.1%}" for n in shares)]
        print("  ".join(f"{cell:>12}" for cell in [*cells, f"{t.extra / t.studies:.1f}"]))
    total = sum(t.studies for t in tallies.values())
    print(
        json.dumps(
            {
                "studies": total,
                "best_in_declared_set": sum(t.covered for t in tallies.values()) / total,
                "false_winner": sum(t.false_winners for t in tallies.values()) / total,
                "seconds": round(time.monotonic() - began, 1),
            }
        )
    )


def count(tally: Tally, planned: Plan, results: StudyResults, executor: Virtual) -> None:
    speeds = truth(planned)
    fastest = max(speeds.values())
    best = {id_ for id_, speed in speeds.items() if speed == fastest}
    verdict = results.ranking().verdict
    declared = {verdict.leader, *verdict.tied_with, *verdict.undecided}
    first = {e.experiment_id: e.score.samples[0] for e in results.ranking().feasible}
    tally.studies += 1
    tally.covered += bool(best & declared)
    tally.winners += verdict.kind is VerdictKind.WINNER
    tally.tied += verdict.kind is VerdictKind.TIED
    tally.false_winners += verdict.kind is VerdictKind.WINNER and verdict.leader not in best
    tally.naive_right += max(first, key=lambda id_: first[id_]) in best
    tally.extra += executor.attempts - len(planned.experiments)


if __name__ == "__main__":
    main()
