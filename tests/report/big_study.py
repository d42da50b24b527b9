"""Write the results folder of a large study without measuring anything.

    python tests/report/big_study.py DIR [EXPERIMENTS]

Three nodes of eight GPUs, one configuration per point of a grid, failures of several kinds,
retries, repeats for the best and a baseline that is measured again at the end. Every row is
marked as simulated. The same arguments give the same study.
"""

from __future__ import annotations

import heapq
import itertools
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from autotuner.results.experiments import experiment_row
from autotuner.results.goodput import with_goodput
from autotuner.results.level_rows import level_result, not_measured
from autotuner.results.levels import RequestRecord, RequestStatus
from autotuner.results.store import ResultStore
from autotuner.results.study_record import StudyRecord
from autotuner.spec.experiment import (
    Attempt,
    Cancelled,
    Completed,
    Experiment,
    Failed,
    FailureKind,
    Outcome,
    Phase,
    Purpose,
)
from autotuner.spec.judging import Judging, RequestSlo
from autotuner.spec.objective import Constraint, Direction, Objective, Over
from autotuner.spec.server import Footprint, Model, ServerConfig, Value
from autotuner.spec.study import Axis, EngineConfig, StudySpec
from autotuner.spec.workload import Level, StopRule, Workload

AXES: Mapping[str, tuple[Value, ...]] = {
    "tensor-parallel-size": (1, 2, 4, 8),
    "max-num-seqs": (8, 16, 32, 64, 128),
    "max-num-batched-tokens": (1024, 2048, 4096, 8192, 16384),
    "enable-chunked-prefill": (True, False),
    "kv-cache-dtype": ("auto", "fp8_e4m3", "fp8_e5m2", "int8", "turbo"),
}
DEFAULTS: Mapping[str, Value] = {
    "tensor-parallel-size": 2,
    "max-num-seqs": 32,
    "max-num-batched-tokens": 2048,
    "enable-chunked-prefill": True,
    "kv-cache-dtype": "auto",
}
HOSTS = ("gpu-node-a", "gpu-node-b", "gpu-node-c")
GPUS_PER_HOST = 8
REQUESTS = 16
OUTPUT_TOKENS = 128
STARTED = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
STUDY_ID = "big-study"
FINALISTS, FINALIST_SERVERS = 5, 4
EVIDENCE = {
    FailureKind.OUT_OF_MEMORY_AT_LOAD: "torch.OutOfMemoryError: CUDA out of memory. Tried to "
    "allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.02 GiB is free.",
    FailureKind.CONFIG_REJECTED: "ValueError: max_num_batched_tokens (1024) is smaller than "
    "max_model_len (8192) and chunked prefill is off\n<script>alert('evidence')</script>",
    FailureKind.SERVER_CRASHED: "RuntimeError: CUDA error: an illegal memory access was "
    "encountered\nexit status -6",
    FailureKind.NODE_LOST: "",
}


def main() -> None:
    folder, *rest = sys.argv[1:]
    write_big_study(Path(folder), experiments=int(rest[0]) if rest else 1000)


def write_big_study(
    folder: Path,
    *,
    experiments: int = 1000,
    failures: bool = True,
    axes: Mapping[str, Sequence[Value]] = AXES,
) -> Path:
    """Write the study into an empty or missing folder, and return it.

    Args:
        axes: Parameters of `DEFAULTS` with their values; the others keep their default.
    """
    spec = _spec(axes)
    planned = tuple(itertools.islice(_experiments(spec, axes), experiments))
    record = StudyRecord.of(
        spec,
        planned,
        launch_commands={e.id: _command(e) for e in planned},
        servers={e.id: e.server for e in planned},
        study_id=STUDY_ID,
        created_at=STARTED,
        autotuner_version="0",
    )
    _Writer(ResultStore.create(folder, record), planned, failures=failures).write()
    return folder


def _spec(axes: Mapping[str, Sequence[Value]]) -> StudySpec:
    return StudySpec(
        name="big",
        engine=EngineConfig("sim"),
        model=Model("/models/large", "/models/large"),
        axes=tuple(Axis(n, tuple({n: value} for value in values)) for n, values in axes.items()),
        workloads=(
            Workload("chat", f"D(512,{OUTPUT_TOKENS})", (1, 8, 32, 128), StopRule(30.0, REQUESTS)),
        ),
        judging=Judging(
            Objective(
                "throughput_per_gpu",
                "output_throughput_tok_s_per_gpu",
                Direction.MAXIMIZE,
                over=Over.BEST,
            ),
            (Constraint("ttft_s", "p99", 1.0),),
            (RequestSlo("ttft_s", 0.5), RequestSlo("tpot_s", 0.02)),
            usd_per_gpu_hour=2.5,
            finalist_servers=FINALIST_SERVERS,
        ),
        description="One configuration per point of a grid; nothing of it was measured.",
    )


def _experiments(spec: StudySpec, axes: Mapping[str, Sequence[Value]]) -> Iterator[Experiment]:
    baseline = {name: DEFAULTS[name] for name in axes}
    yield _experiment(spec, 0, baseline, is_baseline=True)
    points = (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))
    # In random order, so that a part of the study has all values, too.
    order = [point for point in points if point != baseline]
    random.Random(0).shuffle(order)
    for index, point in enumerate(order, start=1):
        yield _experiment(spec, index, point)


def _experiment(
    spec: StudySpec, index: int, point: Mapping[str, Value], *, is_baseline: bool = False
) -> Experiment:
    footprint = Footprint(int({**DEFAULTS, **point}["tensor-parallel-size"] or 1))
    server = ServerConfig("sim", spec.model, point)
    id_ = Experiment.id_of(server, spec.workloads, footprint, {})
    return Experiment(id_, index, point, server, spec.workloads, footprint, is_baseline)


def _command(experiment: Experiment) -> str:
    return f"sim-server --model {experiment.server.model.path} " + " ".join(
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in experiment.parameters.items()
        if value is not False
    )


@dataclass
class _Writer:
    store: ResultStore
    planned: tuple[Experiment, ...]
    failures: bool
    random: random.Random = field(default_factory=lambda: random.Random(1))
    # Host and device -> when it is free again, in seconds after the start.
    free_s: dict[tuple[str, int], float] = field(
        default_factory=lambda: {(h, g): 0.0 for h in HOSTS for g in range(GPUS_PER_HOST)}
    )

    def write(self) -> None:
        best: list[tuple[float, int, Experiment]] = []
        for experiment in self.planned:
            kind = self._failure_of(experiment)
            retried = kind in (FailureKind.SERVER_CRASHED, FailureKind.NODE_LOST)
            if kind is not None:
                self._attempt(Attempt(STUDY_ID, experiment, 1), _failed(kind))
            if kind is None or retried:
                number = 2 if retried else 1
                self._attempt(Attempt(STUDY_ID, experiment, number), Completed())
                best.append((_tok_s_per_gpu(experiment), experiment.index, experiment))
        for _, _, experiment in heapq.nlargest(FINALISTS, best):
            for number in range(3, 2 + FINALIST_SERVERS):
                self._attempt(Attempt(STUDY_ID, experiment, number, Purpose.CONFIRM), Completed())
        baseline = self.planned[0]
        self._attempt(Attempt(STUDY_ID, baseline, 9, Purpose.DRIFT_CHECK), Completed())
        if self.failures:
            self._attempt(
                Attempt(STUDY_ID, self.planned[-1], 10), Cancelled("interrupted by the user")
            )

    def _failure_of(self, experiment: Experiment) -> FailureKind | None:
        point = {**DEFAULTS, **experiment.parameters}
        if not self.failures or experiment.is_baseline:
            return None
        if point["tensor-parallel-size"] == 1 and point["max-num-seqs"] == 128:
            return FailureKind.OUT_OF_MEMORY_AT_LOAD
        if point["max-num-batched-tokens"] == 1024 and not point["enable-chunked-prefill"]:
            return FailureKind.CONFIG_REJECTED
        return {7: FailureKind.SERVER_CRASHED, 11: FailureKind.NODE_LOST}.get(experiment.index % 97)

    def _attempt(self, attempt: Attempt, outcome: Outcome) -> None:
        host, devices, begin_s = self._slot(attempt.experiment.footprint.gpus)
        seconds = self._seconds(attempt, outcome)
        end_s = begin_s + sum(seconds.values())
        for device in devices:
            self.free_s[host, device] = end_s
        actor_s = seconds["seconds_actor_start"]
        self._levels(attempt, outcome, (begin_s + end_s) / 2)
        facts: dict[str, object] = {
            **seconds,
            "seconds_reserved": end_s - begin_s - actor_s,
            "engine_version": "1.0",
            "bench": "closed-loop",
            "bench_version": "0",
            "command": _command(attempt.experiment),
            "simulated": True,
            "node_id": f"id-of-{host}",
            "host": host,
            "gpu_ids": [str(device) for device in devices],
            "gpu_model": "Imaginary 80GB",
            "gpu_driver": "1.2.3",
            "nice": 0,
            "concurrent_attempts": 1,
            "neighbours_mean": 1.0,
            "started_at": STARTED + timedelta(seconds=begin_s + actor_s),
            "ended_at": STARTED + timedelta(seconds=end_s),
        }
        self.store.write_experiment(
            experiment_row(
                attempt,
                outcome,
                study="big",
                parameters=self.store.study.parameters,
                facts=facts,
            )
        )

    def _slot(self, gpus: int) -> tuple[str, tuple[int, ...], float]:
        """The slot of neighbouring devices that is free first."""
        slots = [
            (max(self.free_s[host, d] for d in range(first, first + gpus)), host, first)
            for host in HOSTS
            for first in range(0, GPUS_PER_HOST, gpus)
        ]
        begin_s, host, first = min(slots)
        return host, tuple(range(first, first + gpus)), begin_s

    def _seconds(self, attempt: Attempt, outcome: Outcome) -> dict[str, float]:
        spread = self.random.uniform(0.9, 1.2)
        seconds = {
            "seconds_actor_start": 1.0,
            "seconds_preflight": 0.5,
            "seconds_server_start": 60.0 * spread,
        }
        if not isinstance(outcome, Failed):
            seconds |= {"seconds_warmup": 8.0 * spread, "seconds_load": 120.0 * spread}
            seconds |= {"seconds_bench_overhead": 4.0}
        return seconds | {"seconds_stop": 5.0 * spread, "seconds_postflight": 1.0}

    def _levels(self, attempt: Attempt, outcome: Outcome, start_s: float) -> None:
        # What differs from server to server, then from level to level.
        server = self.random.gauss(0.0, 0.01)
        for level in attempt.experiment.levels:
            if not isinstance(outcome, Completed):
                reason = f"{outcome.kind.value}: x" if isinstance(outcome, Failed) else "cancelled"
                result = not_measured(level, attempt, reason, simulated=True)
            else:
                result = level_result(
                    level,
                    self._requests(attempt.experiment, level, server),
                    attempt=attempt,
                    started_at=STARTED + timedelta(seconds=start_s),
                    gpus=attempt.experiment.footprint.gpus,
                    failure=None,
                    simulated=True,
                )
                gpus = attempt.experiment.footprint.gpus
                result = with_goodput(result, self.store.study.judging, gpus)
            self.store.write_level(attempt, result)

    def _requests(self, experiment: Experiment, level: Level, server: float) -> list[RequestRecord]:
        point, lanes = {**DEFAULTS, **experiment.parameters}, level.concurrency
        count = max(REQUESTS, lanes)
        free_s = [0.0] * lanes
        records = []
        for index in range(count):
            noise = 2.718 ** (server + self.random.gauss(0.0, 0.05))
            tpot_s = _tpot_s(point, lanes) * noise
            ttft_s = _ttft_s(point, lanes) * noise
            started_s = heapq.heappop(free_s)
            e2e_s = ttft_s + tpot_s * (OUTPUT_TOKENS - 1)
            heapq.heappush(free_s, started_s + e2e_s)
            records.append(
                RequestRecord(
                    index,
                    RequestStatus.COMPLETED,
                    started_s,
                    ttft_s=ttft_s,
                    e2e_latency_s=e2e_s,
                    input_tokens=512,
                    output_tokens=OUTPUT_TOKENS,
                )
            )
        return records


def _tok_s_per_gpu(experiment: Experiment) -> float:
    """At the best level that keeps the limit with some reserve."""
    point = {**DEFAULTS, **experiment.parameters}
    return (
        max(
            lanes * OUTPUT_TOKENS / (_ttft_s(point, lanes) + OUTPUT_TOKENS * _tpot_s(point, lanes))
            for lanes in (1, 8, 32, 128)
            if _ttft_s(point, lanes) < 0.8 or lanes == 1
        )
        / experiment.footprint.gpus
    )


def _failed(kind: FailureKind) -> Failed:
    return Failed(
        kind, Phase.SERVER_START, f"{kind.value.replace('_', ' ')}: see the log", EVIDENCE[kind]
    )


def _tpot_s(point: Mapping[str, Value], concurrency: int) -> float:
    tensor_parallel, most = int(point["tensor-parallel-size"] or 1), int(point["max-num-seqs"] or 1)
    batch = min(concurrency, most)
    cache = {"auto": 1.0, "fp8_e4m3": 0.93, "fp8_e5m2": 0.94, "int8": 1.05, "turbo": 0.97}
    chunked = 1.06 if point["enable-chunked-prefill"] else 1.0
    step_s = (0.006 + 0.00016 * batch) / tensor_parallel**0.8
    return step_s * cache.get(str(point["kv-cache-dtype"]), 1.0) * chunked


def _ttft_s(point: Mapping[str, Value], concurrency: int) -> float:
    tensor_parallel, most = int(point["tensor-parallel-size"] or 1), int(point["max-num-seqs"] or 1)
    batched = int(point["max-num-batched-tokens"] or 1)
    prefill_s = 0.05 / tensor_parallel**0.7 * (1 + 512 * min(concurrency, most) / batched / 4)
    waves = max(0.0, concurrency / most - 1)
    return prefill_s + waves * OUTPUT_TOKENS * _tpot_s(point, concurrency) / 2


if __name__ == "__main__":
    main()
