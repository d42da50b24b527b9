"""Servers that span hosts, each host a namespace with an address of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil
import pytest
from faults.lab import Lab, why_no_lab
from faults.processes import eventually
from faults.studies import workload

pytestmark = pytest.mark.ray

PATIENCE_S = 120.0
SOON_S = 15.0
"""From the death of a part until nothing of the others may be left."""
SCRIPT = Path(__file__).parents[1] / "faults" / "spanning_attempt.py"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if reason := why_no_lab():
        pytest.skip(reason)
    with Lab(3, gpus=2) as lab:
        yield lab


@dataclass
class Driver:
    """Carries attempts over two nodes, in a process on the head."""

    lab: Lab
    process: subprocess.Popen[bytes]
    orders: Path
    output: Path
    used: list[str] = field(default_factory=list)

    def start(self, *hosts: str, seconds: float = 3600.0, **flags: object) -> str:
        name = f"{os.getpid():x}{len(self.used):02x}{id(self) % 4096:03x}"
        self.used.append(name)
        order = {"id": name, "flags": flags, "seconds": seconds, "hosts": hosts}
        with self.orders.open("a") as file:
            file.write(json.dumps(order) + "\n")
        return name

    def events(self, name: str) -> list[dict[str, object]]:
        events = []
        for line in self.output.read_text(errors="replace").split("\n"):
            if line.startswith('{"attempt"'):
                with contextlib.suppress(ValueError):  # it is being written, or Ray talks into it
                    events.append(json.loads(line))
        return [event for event in events if str(event["attempt"]).startswith(name)]

    def until(self, name: str, key: str) -> dict[str, object]:
        """The first event of the attempt that has the key."""

        def found() -> list[dict[str, object]]:
            return [event for event in self.events(name) if key in event]

        assert eventually(found, PATIENCE_S), self.output.read_text(errors="replace")[-3000:]
        return found()[0]

    def servers(self, name: str) -> dict[int, psutil.Process]:
        """The processes of an attempt's ranks, by the numbers of their nodes."""
        found = {}
        for number in self.lab.workers:
            for process in self.lab.processes(number):
                words = command_of(process)
                if "--node-rank" in words and name in " ".join(words) and "-I" not in words:
                    found[number] = process
        return found

    def cleared(self, name: str) -> bool:
        """Whether no process of the attempt is left on any node in time."""

        def left() -> list[psutil.Process]:
            nodes = [self.lab.processes(number) for number in self.lab.workers]
            return [p for node in nodes for p in node if name in " ".join(command_of(p)[1:])]

        return eventually(lambda: not left(), SOON_S)


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def actor_above(process: psutil.Process) -> psutil.Process:
    (actor,) = [parent for parent in process.parents() if parent.name().startswith("ray::")]
    return actor


@pytest.fixture
def make_driver(lab: Lab) -> Iterator[Callable[[], Driver]]:
    made: list[Driver] = []

    def make() -> Driver:
        folder = lab.folder / f"driver{os.urandom(3).hex()}"
        folder.mkdir()
        orders = folder / "orders"
        orders.touch()
        output = folder / "events"
        words = [sys.executable, str(SCRIPT), lab.address, str(orders)]
        made.append(Driver(lab, lab.run(0, words, output), orders, output))
        assert eventually(lambda: "ready" in output.read_text(), PATIENCE_S)
        return made[-1]

    yield make
    for driver in made:
        driver.process.terminate()
        driver.process.wait()


@pytest.fixture
def driver(make_driver: Callable[[], Driver]) -> Driver:
    return make_driver()


def test_ranks_on_two_hosts_are_measured_as_one_server(driver: Driver) -> None:
    end = driver.until(driver.start("node2", "node1", seconds=3.0), "ended")
    assert end["ended"] == "completed"
    assert end["hosts"] == ["node2", "node1"]
    assert end["gpu_ids"] == ["0", "1"]
    assert end["logs"] == ["server-rank1.log", "server.log"]


@pytest.mark.parametrize(
    ("rank", "part", "kind"),
    [(1, "server", "server_crashed"), (1, "actor", "actor_lost"), (0, "actor", "actor_lost")],
)
def test_the_death_of_one_part_is_the_end_of_all(
    driver: Driver, rank: int, part: str, kind: str
) -> None:
    name = driver.start("node1", "node2")
    driver.until(name, "level")
    server = driver.servers(name)[rank + 1]
    (server if part == "server" else actor_above(server)).kill()
    end = driver.until(name, "ended")
    assert driver.cleared(name)
    assert end["ended"] == kind
    if rank > 0:
        assert str(end["message"]).startswith(f"rank {rank} on node2 ")
        assert end["blamed"] == rank
    # Nothing of it holds the nodes.
    again = driver.start("node1", "node2", seconds=1.0)
    assert driver.until(again, "ended")["ended"] == "completed"


def test_a_killed_driver_leaves_no_rank_behind(make_driver: Callable[[], Driver]) -> None:
    driver = make_driver()
    name = driver.start("node1", "node2")
    driver.until(name, "level")
    assert sorted(driver.servers(name)) == [1, 2]
    # Its parent enters the node and would only pass the signal on.
    for process in psutil.Process(driver.process.pid).children(recursive=True):
        process.kill()
    driver.process.kill()
    assert driver.cleared(name)


def test_a_node_that_dies_is_blamed_and_may_come_back(driver: Driver, lab: Lab) -> None:
    name = driver.start("node1", "node2")
    driver.until(name, "level")
    lab.kill_raylet(2)
    end = driver.until(name, "ended")
    assert (end["ended"], end["blamed"]) == ("node_lost", 1)
    assert driver.cleared(name)
    lab.power_off(2)
    lab.start()
    again = driver.start("node1", "node2", seconds=1.0)
    assert driver.until(again, "ended")["ended"] == "completed"


def test_a_study_of_mixed_widths_is_measured_on_one_node_and_on_two(lab: Lab) -> None:
    folder = lab.folder / f"study{os.urandom(3).hex()}"
    folder.mkdir()
    content = {
        "study": "widths",
        "engine": {"name": "sim", "flags": {"time-scale": 0.05}},
        "model": str(folder / "model"),
        "parameters": {"tensor-parallel-size": [1, 2, 4]},
        "workloads": [workload()],
        "objective": {"name": "maximize_throughput", "over": "best"},
        "baseline": False,
        "finalist_servers": 1,
        "order": "plan",
        "resources": {"gpus_per_node": 2},
        "timeouts": {"stop_s": 2.0, "level_grace_s": 10.0},
        "bench": "closed-loop",
        "output": str(folder / "results"),
    }
    path = folder / "study.json"
    path.write_text(json.dumps(content))
    words = [sys.executable, "-m", "autotuner.cli.main", "run", str(path), "--address", lab.address]
    output = folder / "output"
    status = lab.run(0, words, output).wait(PATIENCE_S)
    assert status == 0, output.read_text(errors="replace")[-3000:]
    files = sorted((folder / "results" / "experiments").glob("[!.]*.parquet"))
    rows = pd.concat([pd.read_parquet(file) for file in files]).sort_values("gpus")
    assert list(rows["outcome"]) == ["completed"] * 3
    assert [len(hosts) for hosts in rows["hosts"]] == [1, 1, 2]
    (wide,) = rows[rows["nodes"] == 2]["hosts"]
    assert len(set(wide)) == 2
