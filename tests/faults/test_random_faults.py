"""Hundreds of experiments on three nodes while faults strike at random, the driver included.

AUTOTUNER_FAULT_EXPERIMENTS sets their number, for a quick look.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from faults.matrix import Column, Row
from faults.processes import ProcessWatch, Seen, eventually
from faults.studies import (
    MARK_PARAMETER,
    FaultStudy,
    output_of,
    start_driver,
    workload,
    write_study,
)
from faults.verdict import Stored, judge_processes, read_rows, row_faults

import autotuner

pytestmark = [pytest.mark.ray, pytest.mark.slow_faults]

EXPERIMENTS = int(os.environ.get("AUTOTUNER_FAULT_EXPERIMENTS", "200"))
SEED = 20
DRIVER_KILLS = 5
LIMIT_S = 300.0 + 6.0 * EXPERIMENTS
CLEAR_S = 20.0
HEALTHY = 14
"""Points without a fault for each point with each of the faults."""
FAULTS: tuple[dict[str, object], ...] = (
    {"fault-crash-at-start": True},
    {"fault-crash-after-requests": 3},
    {"fault-error-after-requests": 2},
    {"no-such-flag": True},
    {"fault-wrong-model-name": True},
)
HARMLESS: tuple[dict[str, object], ...] = (
    {"fault-spawn-daemon": True},
    {"fault-ignore-sigterm": True},
)


@dataclass(frozen=True)
class Nodes:
    address: str
    environment: dict[str, str]
    leases: Path


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    # Short: the path of a Unix socket has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="ray3-", dir="/tmp"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment |= {"RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": str(folder)}
    environment["TMPDIR"] = str(folder / "scratch")
    (folder / "scratch").mkdir()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("three_nodes.py"))],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address, (folder / "log").read_text()[-3000:]
        yield Nodes(address, environment, folder / "scratch" / f"autotuner-{os.getuid()}")
    finally:
        below = psutil.Process(process.pid).children(recursive=True)
        process.communicate(timeout=60)
        for rest in psutil.wait_procs(below, timeout=20)[1]:
            rest.kill()
        shutil.rmtree(folder, ignore_errors=True)


def points(watch: ProcessWatch, chance: random.Random) -> list[dict[str, object]]:
    names = {name for fault in (*FAULTS, *HARMLESS) for name in fault}
    choices = [*FAULTS, *HARMLESS, *({} for _ in range(HEALTHY))]
    chosen = [{}, {}, *(chance.choice(choices) for _ in range(EXPERIMENTS - 2))]
    return [
        {
            **dict.fromkeys(sorted(names)),
            **fault,
            "max-num-seqs": 1 + number,
            MARK_PARAMETER: watch.label("doomed" if fault in FAULTS and fault else "well"),
        }
        for number, fault in enumerate(chosen)
    ]


def write(folder: Path, watch: ProcessWatch, chance: random.Random) -> FaultStudy:
    changes = {
        "parameters": {"case": {"type": "tied", "values": points(watch, chance)}},
        "engine": {"flags": {"time-scale": 0.02}, "check_flags": False},
        "workloads": [workload((2,), requests=8)],
        "timeouts": {"stop_s": 1.0},
        "max_attempts": 4,
        # Killed at random, three in a row may well fail alike.
        "give_up_after": 0,
    }
    return write_study(folder, watch, faulty={}, healthy=0, changes=changes)


class Killer:
    """Kills an actor, a server or a supervisor every few seconds, until told to stop."""

    def __init__(self, watch: ProcessWatch, chance: random.Random) -> None:
        self.killed: dict[str, int] = {}
        self._watch, self._chance = watch, chance
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(self._chance.uniform(2.0, 5.0)):
            what = self._chance.choice(["actor", "server", "supervisor"])
            among = [s for s in self._watch.alive() if s.attempt and _is(what, s)]
            if among:
                self._kill(what, self._chance.choice(among))

    def _kill(self, what: str, seen: Seen) -> None:
        with contextlib.suppress(psutil.Error, OSError, StopIteration):
            pid = seen.pid
            if what == "actor":
                parents = psutil.Process(pid).parents()
                pid = next(p.pid for p in parents if p.name().startswith("ray::"))
            os.kill(pid, signal.SIGKILL)
            self.killed[what] = self.killed.get(what, 0) + 1


def _is(what: str, seen: Seen) -> bool:
    return seen.is_server if what == "server" else seen.is_supervisor


def ended(study: FaultStudy) -> int:
    """Experiments of which an attempt has its row."""
    files = (study.output / "experiments").glob("[!.]*.parquet")
    return len({file.stem.rpartition("-")[0] for file in files})


def drive(study: FaultStudy, nodes: Nodes, killer: Killer) -> float:
    """Kill the driver again and again on the way, and see the study to its end."""
    started = time.monotonic()
    for number in range(DRIVER_KILLS):
        driver = start(study, nodes)
        share = (number + 1) * EXPERIMENTS * 0.75 / DRIVER_KILLS
        await_share(study, driver, share)
        assert driver.poll() is None, output_of(study)
        driver.kill()
        driver.wait()
    driver = start(study, nodes)
    # The last attempts sweep up after those killed before them.
    await_share(study, driver, EXPERIMENTS * 0.9)
    killer.stop()
    over = eventually(lambda: driver.poll() is not None, LIMIT_S)
    if not over:
        driver.kill()
    assert driver.wait() == 0, output_of(study)
    return time.monotonic() - started


def await_share(study: FaultStudy, driver: subprocess.Popen[str], share: float) -> None:
    """Wait until so many experiments have ended, or the driver has."""
    reached = eventually(lambda: ended(study) >= share or driver.poll() is not None, LIMIT_S)
    assert reached, output_of(study)


def start(study: FaultStudy, nodes: Nodes) -> subprocess.Popen[str]:
    return start_driver(study, "--address", nodes.address, environment=nodes.environment)


def outcome_faults(study: FaultStudy, stored: Stored) -> list[str]:
    """Experiments without exactly one outcome, or with the wrong one."""
    faults = []
    results = autotuner.load_results(study.output)
    final = dict(
        zip(results.experiments["experiment_id"], results.experiments["outcome"], strict=True)
    )
    completed = stored.experiments[stored.experiments["outcome"] == "completed"]
    times = completed["experiment_id"].value_counts().to_dict()
    for experiment in results.study.experiments:
        doomed = str(experiment.parameters[MARK_PARAMETER]).endswith("-doomed")
        wanted = "failed" if doomed else "completed"
        if (outcome := final.get(experiment.id)) != wanted:
            faults.append(f"{experiment.label}: {outcome} instead of {wanted}")
        if times.get(experiment.id, 0) > 1:
            faults.append(f"{experiment.label}: completed {times[experiment.id]} times")
    if len(final) != len(results.experiments):
        faults.append("an experiment has two final rows")
    return faults


@pytest.mark.parametrize("row", ["random faults"], indirect=True)
def test_whatever_strikes_every_experiment_ends_once_and_nothing_leaks(
    row: Row, watch: ProcessWatch, nodes: Nodes, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    study = write(tmp_path, watch, chance)
    with Killer(watch, chance) as killer:
        took_s = drive(study, nodes, killer)
    print(f"{took_s:.0f} s; killed: {killer.killed} and the driver {DRIVER_KILLS} times")
    row.check(Column.IN_TIME, took_s < LIMIT_S, f"{took_s:.0f} s")
    judge_processes(row, watch, CLEAR_S)
    left = sorted(path.name for path in nodes.leases.glob("[!.]*"))
    row.check(Column.NO_PROCESS, not left, "ok", f"scratch folders are left: {left}")
    stored = read_rows(study)
    row.check(Column.ROWS, not (faults := row_faults(stored)), "ok", "; ".join(faults))
    faults = outcome_faults(study, stored)
    row.check(Column.KIND, not faults, "one outcome each", "; ".join(faults))
    row.check(Column.TRIES, True, f"{len(stored.experiments)} of {EXPERIMENTS}")
    row.check(Column.WENT_ON, True, f"{DRIVER_KILLS} times")
    row.settle()
