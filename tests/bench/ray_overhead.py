"""What a study costs beyond its experiments, on a real Ray of several nodes on this machine.

    .venvs/autotuner/bin/python tests/bench/ray_overhead.py [--nodes 3] [--experiments 36]

Each node has one simulated GPU, so that the next attempt on a node is the next on that device.
Every experiment starts a real server (the simulated engine) and loads it for two short levels,
through the whole product: driver, Ray actor, lease, supervisor, load generator, results.
`docs/scale.md` says what the numbers mean.

Prints a table and, as its last line, a JSON object. Decides nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import ray
from ray.cluster_utils import Cluster

from autotuner.driver.progress import AttemptFinished, AttemptStarted, StudyEvent
from autotuner.engines.sim_devices import SIM_GPUS_VARIABLE, make_devices
from autotuner.execution.on_ray import RayExecutor
from autotuner.execution.ray_actor import ExperimentActor
from autotuner.results.load import load_results
from autotuner.spec.study import StudySpec
from autotuner.study import run

PROBES = 12
EXPERIMENT_S = 180.0
"""Of a usual experiment, for the share that the overhead of one has."""
STUDY = """
study: overhead
engine: {{name: sim, flags: {{time-scale: 0.1}}}}
model: sim-model
parameters: {{max-num-seqs: {values}}}
workloads:
  - {{name: chat, scenario: "D(50,20)", concurrency: [2, 4], stop: {{seconds: 20, requests: 20}}}}
objective: {{name: maximize_throughput, over: best}}
baseline: false
finalist_servers: 1
resources: {{gpus: 1}}
bench: closed-loop
output: results
"""


@dataclass
class Heard:
    """When the driver started an attempt, and when it heard of its end; its own clock."""

    submitted: dict[str, datetime] = field(default_factory=dict)
    ended: dict[str, datetime] = field(default_factory=dict)

    def __call__(self, event: StudyEvent) -> None:
        match event:
            case AttemptStarted(attempt=attempt):
                self.submitted[attempt.id] = datetime.now(UTC)
            case AttemptFinished(attempt=attempt):
                self.ended[attempt.id] = datetime.now(UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description="the driver's overhead on a real Ray")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--experiments", type=int, default=36)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="autotuner-overhead-") as folder:
        found = measure(Path(folder), asked.nodes, asked.experiments)
    show(found)
    print(json.dumps({name: round(number, 4) for name, number in found.items()}))


def measure(folder: Path, nodes: int, experiments: int) -> dict[str, float]:
    file = folder / "study.yaml"
    file.write_text(STUDY.format(values=list(range(1, experiments + 1))))
    heard = Heard()
    cluster: Any = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "num_gpus": 0,
            "object_store_memory": 80_000_000,
            "include_dashboard": False,
        },
    )
    try:
        for index in range(nodes):
            devices = folder / f"devices-{index}"
            make_devices(devices, 1)
            cluster.add_node(
                num_cpus=2,
                num_gpus=1,
                object_store_memory=80_000_000,
                env_vars={SIM_GPUS_VARIABLE: str(devices), "RAY_worker_niceness": "0"},
            )
        with RayExecutor(cluster.address) as executor:
            began, cpu = time.monotonic(), time.process_time()
            run(StudySpec.from_file(file), executor=executor, on_event=heard)
            cpu_s, wall_s = time.process_time() - cpu, time.monotonic() - began
            bare = chained_starts(Bare)
            own = chained_starts(Own)
    finally:
        cluster.shutdown()
    return {
        **numbers(folder / "results", heard, cpu_s, wall_s),
        "bare_start_p50_s": quantile([start.wall_s for start in bare], 0.5),
        "bare_start_p95_s": quantile([start.wall_s for start in bare], 0.95),
        "bare_start_cpu_s": statistics.median(start.cpu_s for start in bare),
        "actor_start_cpu_s": statistics.median(start.cpu_s for start in own),
    }


@dataclass(frozen=True)
class Start:
    """Of an actor, until its first line."""

    wall_s: float
    """From the end of the actor before it, on the same device."""
    cpu_s: float
    """Of the new process: on an idle node nearly as long as the start takes."""


class Bare:
    """What Ray itself takes, on an idle machine: an actor that needs nothing of ours."""

    def begin(self, argument: object) -> tuple[float, float]:
        return time.time(), time.process_time()


class Own(ExperimentActor):
    """The same with all that an attempt's actor imports."""

    def __init__(self) -> None:
        super().__init__("start")

    def begin(self, argument: object) -> tuple[float, float]:
        return time.time(), time.process_time()


def chained_starts(actor_class: type) -> list[Start]:
    """Start actors one after the other on one device, each when the one before is killed."""
    declared: Any = ray.remote(concurrency_groups={"control": 1})
    remote = declared(actor_class).options(num_gpus=1)
    starts = []
    actor = remote.remote()
    ray.get(actor.begin.remote(0))
    for _ in range(PROBES):
        asked = time.time()
        ray.kill(actor)
        actor = remote.remote()
        began, cpu_s = ray.get(actor.begin.remote(0))
        starts.append(Start(began - asked, cpu_s))
    ray.kill(actor)
    return starts


def numbers(folder: Path, heard: Heard, cpu_s: float, wall_s: float) -> dict[str, float]:
    results = load_results(folder)
    rows = results.experiments.sort_values("started_at")
    assert (rows["outcome"] == "completed").all(), rows["failure_message"].dropna().tolist()
    gaps, ends, begins, starts = [], [], [], []
    for _, slot in rows.groupby("node_id"):
        for before, after in pairwise(slot.to_dict("records")):
            told, asked = heard.ended[before["attempt_id"]], heard.submitted[after["attempt_id"]]
            gaps.append(seconds(before["ended_at"], after["started_at"]))
            ends.append(seconds(before["ended_at"], told))
            begins.append(seconds(told, asked))
            starts.append(seconds(asked, after["started_at"]))
    besides = [end + begin for end, begin in zip(ends, begins, strict=True)]
    return {
        "experiments": len(rows),
        "slots": rows["node_id"].nunique(),
        "wall_s": wall_s,
        "gap_p50_s": quantile(gaps, 0.5),
        "gap_p95_s": quantile(gaps, 0.95),
        "end_to_driver_p50_s": quantile(ends, 0.5),
        "end_to_driver_p95_s": quantile(ends, 0.95),
        "driver_to_submit_p50_s": quantile(begins, 0.5),
        "driver_to_submit_p95_s": quantile(begins, 0.95),
        "actor_start_p50_s": quantile(starts, 0.5),
        "actor_start_p95_s": quantile(starts, 0.95),
        "overhead_per_experiment_s": statistics.mean(besides),
        "overhead_share": statistics.mean(besides) / EXPERIMENT_S,
        "overhead_share_with_actor_start": statistics.mean(gaps) / EXPERIMENT_S,
        "driver_cpu_s_per_1000_levels": 1000 * cpu_s / len(results.levels),
        "driver_cpu_s_per_experiment": cpu_s / len(rows),
    }


def seconds(before: pd.Timestamp | datetime, after: pd.Timestamp | datetime) -> float:
    return (pd.Timestamp(after) - pd.Timestamp(before)).total_seconds()


def quantile(numbers: Sequence[float], share: float) -> float:
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(found: dict[str, float]) -> None:
    print(
        f"{found['experiments']:.0f} experiments on {found['slots']:.0f} slots of real Ray nodes, "
        f"{found['wall_s']:.0f} s"
    )
    rows = {
        "a slot idle between two experiments": "gap",
        "  end on the node, known and recorded by the driver": "end_to_driver",
        "  then to the next actor's request": "driver_to_submit",
        "  then to its first line (worker process start)": "actor_start",
        "a bare Ray actor's start, on the idle machine": "bare_start",
    }
    print(f"{'seconds':>54}  {'p50':>7}  {'p95':>7}")
    for label, name in rows.items():
        print(f"{label:<54}  {found[name + '_p50_s']:7.2f}  {found[name + '_p95_s']:7.2f}")
    print(
        f"overhead per experiment besides the actor's start: "
        f"{found['overhead_per_experiment_s']:.2f} s, {found['overhead_share']:.2%} of one of "
        f"{EXPERIMENT_S:.0f} s; with it {found['overhead_share_with_actor_start']:.2%}\n"
        f"CPU seconds of an actor's start: {found['actor_start_cpu_s']:.2f}, "
        f"of a bare Ray actor's {found['bare_start_cpu_s']:.2f}; "
        f"of the driver: {found['driver_cpu_s_per_1000_levels']:.0f} for 1000 levels,"
        f" {found['driver_cpu_s_per_experiment']:.2f} for an experiment"
    )


if __name__ == "__main__":
    main()
