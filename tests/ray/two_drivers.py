"""Two drivers of one study at once on one Ray; prints what they did to each other, as JSON."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import ray
from ray.util.state import list_actors

from autotuner.engines.sim_devices import SIM_GPUS_VARIABLE, make_devices

__all__: list[str] = []

STUDY = """
study: twice
engine: {name: sim, flags: {time-scale: 0.3}}
model: sim-model
parameters: {max-num-seqs: [1, 2, 3, 4]}
workloads:
  - {name: chat, scenario: "D(50,20)", concurrency: [2], stop: {seconds: 20, requests: 12}}
objective: maximize_throughput
baseline: false
finalist_servers: 1
order: plan
resources: {gpus: 1, cpus: 1}
bench: closed-loop
"""
SERVED = re.compile(r"autotuner-[0-9a-f]{8}-\S+")


def served_names() -> set[str]:
    """Of the servers that live now."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "--served-model-name" in words[:-1]:
            found.add(words[words.index("--served-model-name") + 1])
    return {name for name in found if SERVED.fullmatch(name)}


def start(folder: Path, address: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    folder.mkdir()
    (folder / "study.yaml").write_text(STUDY)
    words = [sys.executable, "-m", "autotuner.cli.main", "run", str(folder / "study.yaml")]
    return subprocess.Popen(
        [*words, "--address", address, "--output", str(folder / "out")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def told_of(folder: Path, driver: subprocess.Popen[str]) -> dict[str, Any]:
    said, _ = driver.communicate()
    rows = pd.read_parquet(folder / "out" / "experiments")
    names = [SERVED.search(command) for command in rows["command"]]
    return {
        "exit": driver.returncode,
        "said": said,
        "study_id": json.loads((folder / "out" / "study.json").read_text())["study_id"],
        "attempts": {row.experiment_id: int(row.attempt) for row in rows.itertuples()},
        "outcomes": list(rows["outcome"]),
        "swept": list(rows["swept"].dropna()),
        "served": [name[0] for name in names if name],
    }


def main(folder: Path) -> None:
    make_devices(folder / "devices", 3)
    os.environ[SIM_GPUS_VARIABLE] = str(folder / "devices")
    context = ray.init(num_cpus=6, num_gpus=3, include_dashboard=True, log_to_driver=False)
    address = context.address_info["gcs_address"]
    folders = [folder / "one", folder / "other"]
    drivers = [start(each, address, dict(os.environ)) for each in folders]
    seen: Counter[int] = Counter()
    shared: list[str] = []
    while any(driver.poll() is None for driver in drivers):
        seen[len(served_names())] += 1
        for device in (folder / "devices").iterdir():
            living = [e for e in device.iterdir() if psutil.pid_exists(int(e.name.split("-")[0]))]
            if len(living) > 1:
                shared.append(device.name)
        time.sleep(0.1)
    told = [told_of(each, driver) for each, driver in zip(folders, drivers, strict=True)]
    known = list_actors(f"http://{context.dashboard_url}", limit=1000)
    actors = [actor.name for actor in known if actor.class_name == "ExperimentActor"]
    ray.shutdown()
    print(
        json.dumps(
            {
                "drivers": told,
                "together": seen[2] + seen[3] > 0,
                "actors": actors,
                "shared_devices": shared,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
