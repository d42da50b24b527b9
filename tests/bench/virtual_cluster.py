"""An executor without a cluster: attempts take their course on the virtual clock."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pyarrow as pa
from scale_load import ACTOR_S, GPUS_PER_NODE, PREFLIGHT_S, STOP_S, course
from virtual_clock import CLOCK

from autotuner.execution.base import (
    AttemptLost,
    Executor,
    ExecutorEvent,
    Node,
    NodeAnswer,
    Slot,
)
from autotuner.node.events import AttemptEnded, AttemptOrder, LevelMeasured, PhaseStarted
from autotuner.results.level_rows import level_result
from autotuner.results.levels import LevelResult, RequestRecord, RequestStatus
from autotuner.spec.experiment import Attempt, Completed, FailureKind, Phase
from autotuner.spec.workload import Level

__all__ = ["VirtualCluster"]

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
CPUS_PER_NODE = 64
REQUESTS, GAPS = 100, 20


@dataclass
class VirtualCluster(Executor):
    """Nodes of `GPUS_PER_NODE` GPUs that never overbook.

    Args:
        at: Called with the virtual time before anything is handed out; it may end the process.
    """

    node_count: int
    seed: int
    at: Callable[[float], None] = lambda now: None
    started_s: dict[int, list[float]] = field(default_factory=dict)
    """Width -> when its attempts were submitted."""
    ends_s: list[float] = field(default_factory=list)
    """Of attempts, in order."""
    busy_gpu_s: float = 0.0
    _due: list[tuple[float, int, str, ExecutorEvent]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)
    _live: dict[str, tuple[Slot, float]] = field(default_factory=dict)
    _samples: dict[Level, LevelResult] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._nodes = tuple(
            Node(f"n{index:04}", f"host{index:04}", GPUS_PER_NODE, CPUS_PER_NODE)
            for index in range(self.node_count)
        )
        self._free = {node.id: node.gpus for node in self._nodes}

    def nodes(self) -> tuple[Node, ...]:
        return self._nodes

    def ask_nodes(
        self, calls: Mapping[Node, Callable[[], object]], **limits: object
    ) -> tuple[NodeAnswer[object], ...]:
        raise AssertionError("processes need nothing of a node")

    def submit(self, order: AttemptOrder, slot: Slot) -> None:
        with CLOCK.stopped():
            now = CLOCK.monotonic()
            for node in slot.nodes:
                self._free[node.id] -= slot.gpus
                assert self._free[node.id] >= 0, f"{node.id} is overbooked"
            attempt = order.attempt
            self._live[attempt.id] = (slot, now)
            self.started_s.setdefault(attempt.experiment.footprint.gpus, []).append(now)
            for after_s, event in self._events(order, now):
                heapq.heappush(self._due, (now + after_s, next(self._numbers), attempt.id, event))

    def _events(self, order: AttemptOrder, now: float) -> Iterator[tuple[float, ExecutorEvent]]:
        fate, at_s = course(order.attempt.experiment, order.attempt.number, self.seed), ACTOR_S
        yield at_s, PhaseStarted(Phase.PREFLIGHT)
        yield (at_s := at_s + PREFLIGHT_S), PhaseStarted(Phase.SERVER_START)
        at_s += fate.start_s
        if fate.level_s:
            yield at_s, PhaseStarted(Phase.WARMUP)
            yield (at_s := at_s + fate.warmup_s), PhaseStarted(Phase.LOAD)
        for level, level_s in zip(order.levels, fate.level_s, strict=False):
            at_s += level_s
            if fate.failed is None:
                yield at_s, LevelMeasured(self._result(order.attempt, level))
        yield at_s, PhaseStarted(Phase.STOP)
        yield (at_s := at_s + STOP_S), PhaseStarted(Phase.POSTFLIGHT)
        facts = {"started_at": _date(now + ACTOR_S), "ended_at": _date(now + at_s), "nice": 0}
        yield at_s, AttemptEnded(Completed() if fate.failed is None else fate.failed, facts)

    def _result(self, attempt: Attempt, level: Level) -> LevelResult:
        """The same numbers for everyone: nobody looks at them here."""
        if level not in self._samples:
            self._samples[level] = _measured(attempt, level)
        sample = self._samples[level]
        own = {"experiment_id": attempt.experiment.id, "attempt_id": attempt.id}
        requests = sample.requests
        for index, value in enumerate(own.values()):
            column = pa.array([value] * requests.num_rows, pa.string())
            requests = requests.set_column(index, requests.schema.field(index), column)
        return replace(sample, requests=requests, summary={**sample.summary, **own})

    def poll(self, timeout_s: float) -> list[tuple[str, ExecutorEvent]]:
        self.at(CLOCK.monotonic())
        with CLOCK.stopped():
            until = CLOCK.monotonic() + timeout_s
            if not self._due or self._due[0][0] > until:
                CLOCK.skip_to(until)
                return []
            CLOCK.skip_to(self._due[0][0])
            ready = []
            while self._due and self._due[0][0] <= CLOCK.monotonic():
                at_s, _, attempt_id, event = heapq.heappop(self._due)
                if attempt_id in self._live:
                    ready.append((attempt_id, event))
                    if isinstance(event, AttemptEnded | AttemptLost):
                        self._free_slot(attempt_id, at_s)
            return ready

    def _free_slot(self, attempt_id: str, now: float) -> None:
        slot, since = self._live.pop(attempt_id)
        for node in slot.nodes:
            self._free[node.id] += slot.gpus
            self.busy_gpu_s += slot.gpus * (now - since)
        self.ends_s.append(now)

    def stop(self, attempt_id: str, reason: str) -> None:
        raise AssertionError(f"nobody stops {attempt_id}: {reason}")

    def kill(self, attempt_id: str) -> None:
        if attempt_id in self._live:
            self._free_slot(attempt_id, CLOCK.monotonic())
            lost = AttemptLost(FailureKind.ACTOR_LOST, "killed by the driver")
            self._due.append((CLOCK.monotonic(), next(self._numbers), attempt_id, lost))

    def close(self) -> None:
        self._live.clear()


def _date(now: float) -> datetime:
    return EPOCH + timedelta(seconds=now)


def _measured(attempt: Attempt, level: Level) -> LevelResult:
    draw = random.Random(0)
    records = [
        RequestRecord(
            index,
            RequestStatus.COMPLETED,
            started_s=index * 1.0,
            ttft_s=draw.uniform(0.1, 0.3),
            e2e_latency_s=draw.uniform(3.0, 5.0),
            itl_s=[draw.uniform(0.01, 0.03) for _ in range(GAPS)],
            input_tokens=512,
            output_tokens=256,
            output_tokens_asked=256,
            output_chunks=256,
        )
        for index in range(REQUESTS)
    ]
    gpus = attempt.experiment.footprint.gpus
    return level_result(
        level,
        records,
        attempt=attempt,
        started_at=EPOCH,
        gpus=gpus,
        failure=None,
        simulated=True,
    )
