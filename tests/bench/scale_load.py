"""The load of the scale benchmark: a plan of many experiments, and how long each really takes.

Nobody tells the driver how long. It knows what any driver knows: the study file.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

from autotuner.planning import Plan, plan
from autotuner.spec.experiment import Experiment, Failed, FailureKind, Phase
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Direction, Objective
from autotuner.spec.server import CpuPlan, Model
from autotuner.spec.study import Axis, BenchConfig, EngineConfig, Resources, StudySpec
from autotuner.spec.workload import StopRule, Workload

__all__ = ["GPUS_PER_NODE", "Course", "course", "experiment_seconds", "planned"]

GPUS_PER_NODE = 8
LEVEL_S = 240.0
CONCURRENCY = (64,)
MIX = (1, 1, 2, 2, 4, 4, 8, 8)
"""Tensor-parallel sizes of as many experiments; `scale.py --mix` sets others."""
START_S = {1: 55.0, 2: 70.0, 4: 95.0, 8: 150.0}
"""Median seconds of a server start by GPUs: more of them serve larger models."""
START_SIGMA = 0.35
"""Of the logarithm: a cold page cache, a busy file system. No parameter tells."""
GRAPHS_S = 30.0
"""Median seconds that capturing CUDA graphs adds, where ``enforce-eager`` is off."""
STRAGGLERS, STRAGGLER_FACTOR = 0.01, 2.5
LEVEL_SIGMA = 0.15
"""Of the logarithm of an experiment's speed, beyond what its parameters do to it."""
OUT_OF_MEMORY = 0.02
CRASHED = 0.0
"""Share of the experiments that crash at their first attempt; set by `scale.py --crashes`."""
ACTOR_S, PREFLIGHT_S, BENCH_BOOT_S, WARMUP_S, STOP_S = 3.0, 1.0, 5.0, 8.0, 4.0


@dataclass(frozen=True, slots=True)
class Course:
    """What becomes of an attempt, in seconds of its phases."""

    start_s: float
    warmup_s: float
    level_s: tuple[float, ...]
    failed: Failed | None
    """At the end of ``start_s`` where it is no ``SERVER_CRASHED``, else of the first level."""

    @property
    def total_s(self) -> float:
        loaded_s = sum(self.level_s) + self.warmup_s if self.level_s else 0.0
        return ACTOR_S + PREFLIGHT_S + self.start_s + loaded_s + STOP_S


def course(experiment: Experiment, number: int, seed: int) -> Course:
    """What the attempt of this number comes to; the same whoever asks."""
    fate = random.Random(f"{seed} {experiment.id}")
    out_of_memory = fate.random() < OUT_OF_MEMORY
    crashes = number == 1 and fate.random() < CRASHED
    load_s = _load_s(experiment) * fate.lognormvariate(0.0, LEVEL_SIGMA)
    draw = random.Random(f"{seed} {experiment.id} {number}")
    graphs_s = GRAPHS_S if not experiment.parameters["enforce-eager"] else 0.0
    start_s = START_S[experiment.footprint.gpus] + graphs_s
    start_s *= draw.lognormvariate(0.0, START_SIGMA)
    start_s *= STRAGGLER_FACTOR if draw.random() < STRAGGLERS else 1.0
    start_s = min(start_s, 590.0)
    if out_of_memory:
        message = "the weights do not fit into the memory of the devices"
        failed = Failed(FailureKind.OUT_OF_MEMORY_AT_LOAD, Phase.SERVER_START, message)
        return Course(0.7 * start_s, 0.0, (), failed)
    whole = tuple(min(LEVEL_S, load_s * draw.lognormvariate(0.0, 0.05)) for _ in experiment.levels)
    if crashes:
        crashed = Failed(FailureKind.SERVER_CRASHED, Phase.LOAD, "the server ended by itself")
        return Course(start_s, BENCH_BOOT_S + WARMUP_S, (whole[0] / 2,), crashed)
    return Course(start_s, BENCH_BOOT_S + WARMUP_S, whole, None)


def _load_s(experiment: Experiment) -> float:
    """Seconds until all requests of a level are answered: a larger batch answers sooner."""
    sequences = experiment.parameters["max-num-seqs"]
    tokens = experiment.parameters["max-num-batched-tokens"]
    assert isinstance(sequences, int)
    assert isinstance(tokens, int)
    slower = 1.25 if experiment.parameters["enforce-eager"] else 1.0
    return 150.0 * slower * (sequences / 128) ** -0.35 * (tokens / 4096) ** -0.1


def experiment_seconds(experiment: Experiment, seed: int) -> tuple[float, ...]:
    """Seconds of each attempt that the experiment takes when nobody kills the driver."""
    first = course(experiment, 1, seed)
    if first.failed is None or first.failed.kind is not FailureKind.SERVER_CRASHED:
        return (first.total_s,)
    return (first.total_s, course(experiment, 2, seed).total_s)


def planned(experiments: int, folder: Path) -> Plan:
    """A grid of so many experiments, of which each eight, by default, have the widths `MIX`."""
    shapes = tuple(
        {"tensor-parallel-size": gpus, "enforce-eager": eager, "enable-prefix-caching": caching}
        for gpus, count in Counter(MIX).items()
        for eager, caching in islice(product((True, False), repeat=2), count)
    )
    batches = tuple(
        {
            "max-num-seqs": 16 * (1 + index % 25),
            "max-num-batched-tokens": 1024 * (1 + index // 25 % 8),
            "gpu-memory-utilization": round(0.75 + 0.04 * (index // 200), 2),
        }
        for index in range(experiments // len(MIX))
    )
    return plan(
        StudySpec(
            name="scale",
            engine=EngineConfig("vllm"),
            model=Model("m", "m"),
            axes=(Axis("shape", shapes), Axis("batch", batches)),
            workloads=(Workload("chat", "D(512,256)", CONCURRENCY, StopRule(LEVEL_S, 2000)),),
            judging=Judging(
                Objective("t", "output_throughput_tok_s", Direction.MAXIMIZE),
                finalist_servers=1,
                max_repeats=0,
            ),
            bench=BenchConfig("closed-loop"),
            resources=Resources(cpus=CpuPlan(reserve=4)),
            baseline=None,
            output=folder,
        )
    )
