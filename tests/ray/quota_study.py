"""A study of servers that take of a custom resource; prints what was placed and when, as JSON.

With a folder as its argument, on two Ray nodes that have 4 of the resource each; with a folder and
``local``, on a Ray that is started here by `run` itself.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray

from autotuner.driver.progress import AttemptFinished, LevelFinished, StudyEvent
from autotuner.execution.base import Slot
from autotuner.execution.on_ray import RayExecutor
from autotuner.node.events import AttemptOrder
from autotuner.planning import Plan, plan
from autotuner.spec.study import StudySpec
from autotuner.study import run

__all__: list[str] = []

QUOTA = "pods_of_a_test"
WIDTHS = (1, 4, 2, 3, 0, 2)
STUDY = """
study: quota
engine: {name: sim, flags: {time-scale: 0.1}}
model: sim-model
parameters: {max-num-seqs: [1, 2, 3, 4, 5, 6]}
workloads:
  - {name: chat, scenario: "D(20,10)", concurrency: [2], stop: {seconds: 20, requests: 6}}
objective: maximize_throughput
baseline: false
finalist_servers: 1
order: plan
resources: {gpus: 0, cpus: 1}
bench: closed-loop
output: out
"""


class Recorded(RayExecutor):
    """Writes down each slot that it is given."""

    def submit(self, order: AttemptOrder, slot: Slot) -> None:
        told.append({"starts": order.attempt.id, "node": slot.node.id, "share": slot.quota_share})
        assert (slot.gpus, slot.quota) == (0, QUOTA)
        super().submit(order, slot)


told: list[dict[str, Any]] = []


def on_event(event: StudyEvent) -> None:
    match event:
        case LevelFinished():
            total, free = ray.cluster_resources(), ray.available_resources()
            told.append({"total": total.get(QUOTA, 0), "free": free.get(QUOTA, 0)})
        case AttemptFinished(attempt=attempt, outcome=outcome):
            told.append({"ends": attempt.id, "outcome": type(outcome).__name__})


def planned(folder: Path) -> Plan:
    (folder / "study.yaml").write_text(STUDY)
    made = plan(StudySpec.from_file(folder / "study.yaml"))
    experiments = tuple(
        replace(one, footprint=replace(one.footprint, gpus_per_node=width, quota=QUOTA))
        for one, width in zip(made.experiments, WIDTHS, strict=True)
    )
    return replace(made, experiments=experiments)


def main(folder: Path, *, local: bool) -> None:
    if local:
        run(planned(folder), on_event=on_event)
    else:
        on_two_nodes(folder)
    print(json.dumps(told))


def on_two_nodes(folder: Path) -> None:
    from ray.cluster_utils import Cluster

    node: dict[str, Any] = {"num_cpus": 8, "num_gpus": 0, "object_store_memory": 80_000_000}
    node["resources"] = {QUOTA: 4}
    cluster: Any = Cluster(
        initialize_head=True, head_node_args={**node, "include_dashboard": False}
    )
    try:
        cluster.add_node(**node)
        with Recorded(cluster.address) as executor:
            run(planned(folder), executor=executor, on_event=on_event)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), local="local" in sys.argv[2:])
