"""A study on a cluster that has no worker yet, by Ray's own autoscaler with pretended nodes.

Prints, as JSON, how the study ended, how many nodes there were, and what was asked for, while it
ran and at last. To be run in a process namespace, and a network, of its own: the
autoscaler's nodes are processes, which nothing else would end.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from autotuner.driver.progress import AttemptStarted, StudyEvent
from autotuner.execution.on_ray import RayExecutor
from autotuner.spec.study import StudySpec
from autotuner.study import run

__all__: list[str] = []

STUDY = """
study: growing
engine: {name: sim, flags: {time-scale: 0.1}}
model: sim-model
parameters: {max-num-seqs: [1, 2]}
workloads:
  - {name: chat, scenario: "D(20,10)", concurrency: [2], stop: {seconds: 20, requests: 6}}
objective: maximize_throughput
baseline: false
finalist_servers: 1
resources: {gpus: 0, cpus: 2}
bench: closed-loop
"""
CLUSTER = {
    "cluster_name": "growing",
    "max_workers": 2,
    "idle_timeout_minutes": 0.1,
    "upscaling_speed": 10.0,
    "provider": {"type": "fake_multinode", "disable_node_updaters": True},
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "worker": {
            "resources": {"CPU": 2, "object_store_memory": 100_000_000},
            "node_config": {},
            "min_workers": 0,
            "max_workers": 2,
        },
    },
    "head_node_type": "ray.head.default",
    # All of them are asked for, though pretended nodes are set up with none.
    "auth": {"ssh_user": "nobody"},
    "docker": {},
    "file_mounts": {},
    "file_mounts_sync_continuously": False,
    **{
        f"{who}_commands": []
        for who in (
            *("initialization", "setup", "head_setup", "worker_setup"),
            *("head_start_ray", "worker_start_ray"),
        )
    },
    **{key: [] for key in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
}
WITHDRAWN_S = 20.0
HEAD_ID = "f" * 51 + "00000"
"""Of the head, as the autoscaler pretends it."""
PORT = 6379
"""Where the pretended nodes look for their head, whatever they are told."""


def main() -> None:
    folder = Path(sys.argv[1])
    os.environ["RAY_AUTH_MODE"] = "disabled"
    address = start_head(folder)
    (folder / "study.yaml").write_text(STUDY)
    told: dict[str, Any] = {"asked": [], "most_nodes": 0}
    with RayExecutor(address) as executor:

        def watch(event: StudyEvent) -> None:
            if isinstance(event, AttemptStarted):
                told["most_nodes"] = max(told["most_nodes"], workers(executor))
                told["asked"] += asked()

        told["can_grow"] = executor.can_grow
        told["nodes_before"] = workers(executor)
        study = StudySpec.from_file(folder / "study.yaml")
        results = run(study, output=folder / "results", executor=executor, on_event=watch)
        told["outcomes"] = list(results.experiments["outcome"])
        told["failures"] = list(results.attempts["failure_message"].dropna())
        deadline = time.monotonic() + WITHDRAWN_S
        while asked() and time.monotonic() < deadline:
            time.sleep(0.5)
        told["asked_after"] = asked()
    print(json.dumps(told))


def workers(executor: RayExecutor) -> int:
    return sum(node.cpus > 0 for node in executor.nodes())


def asked() -> list[Any]:
    """What the autoscaler says that it was asked to make room for."""
    store: Any = importlib.import_module("ray.experimental.internal_kv")
    status = json.loads(store._internal_kv_get(b"__autoscaling_status"))
    demand: list[Any] = status["load_metrics_report"]["request_demand"]
    return demand


def start_head(folder: Path) -> str:
    (folder / "cluster.json").write_text(json.dumps(CLUSTER))
    words = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--num-cpus", "0"]
    words += ["--node-ip-address", "127.0.0.1"]
    words += ["--port", str(PORT), "--autoscaling-config", str(folder / "cluster.json")]
    words += ["--include-dashboard", "false", "--disable-usage-stats"]
    pretended = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    pretended["RAY_OVERRIDE_NODE_ID_FOR_TESTING"] = HEAD_ID
    with (folder / "head.log").open("w") as log:
        subprocess.run(words, env={**os.environ, **pretended}, stdout=log, stderr=log, check=True)
    return f"127.0.0.1:{PORT}"


if __name__ == "__main__":
    main()
