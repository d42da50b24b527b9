"""The keeper pattern with a keeper that keeps nothing but a file, which stands for a container."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from autotuner.errors import LaunchError
from autotuner.launchers.base import LaunchFault
from autotuner.launchers.kept import KeeperFiles, KeeperState, KeptServer, keeper_environment
from autotuner.spec.experiment import FailureKind
from autotuner.supervision.wills import Will

KEEPER = """
import signal, sys, time
from pathlib import Path
from autotuner.launchers.kept import KeeperFiles, KeeperState
files = KeeperFiles(Path(sys.argv[1]))
order = files.read_order()
kept = Path(order["kept"])
def end(*_):
    kept.with_suffix(".grace").write_text(str(files.read_stop_s()))
    kept.unlink()
    files.write_state(KeeperState(gone=True))
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
kept.touch()
files.write_state(KeeperState(url="http://127.0.0.1:1", facts={"image": "an/image"}))
print("kept", flush=True)
while True:
    time.sleep(0.05)
"""
PATIENCE_S = 60.0


@pytest.fixture
def keep(tmp_path, monkeypatch, wait_until):
    folder, kept = tmp_path / "attempt", tmp_path / "container"
    folder.mkdir()
    (tmp_path / "a_keeper.py").write_text(KEEPER)
    servers = []

    def start(*, will="import pathlib, sys; pathlib.Path(sys.argv[1]).unlink()"):
        environment = keeper_environment("token")
        environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
        monkeypatch.setattr(
            "autotuner.launchers.kept.keeper_environment", lambda token: environment
        )
        command = (sys.executable, "-c", will, str(kept))
        order = {"kept": str(kept), "note": "s3cret"}
        server = KeptServer("a_keeper", order, folder, Will(command, "token", {}), stop_s=1.0)
        servers.append(server)
        assert wait_until(kept.exists), server.log_tail()
        assert wait_until(lambda: server.url is not None)
        return server

    start.folder, start.kept = folder, kept
    yield start
    for server in servers:
        if kept.exists():
            kept.unlink()
        server._keeper.stop(hurry=True)


def test_what_the_keeper_says_is_what_the_server_is(keep):
    server = keep()
    assert server.url == "http://127.0.0.1:1"
    assert server.facts == {"image": "an/image"}
    assert server.fault is None
    assert server.exit is None
    assert server.log_tail() == "kept\n"


def test_a_stop_is_in_order_and_leaves_nothing(keep):
    server = keep()
    assert server.stop().ended_by == "stopped"
    assert not keep.kept.exists()
    assert keep.kept.with_suffix(".grace").read_text() == "1.0"
    assert server.stop().ended_by == "stopped"


def test_the_order_is_for_its_owner_alone(keep):
    keep()
    path = KeeperFiles(keep.folder).order_path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["note"] == "s3cret"
    lines = [" ".join(p.cmdline()) for p in psutil.Process().children(recursive=True)]
    assert lines
    assert not any("s3cret" in line for line in lines)


def test_what_a_killed_keeper_leaves_is_taken_down_by_its_will(keep, wait_until):
    server = keep()
    kill_keeper(keep.folder)
    assert wait_until(lambda: server.exit is not None)
    assert keep.kept.exists()
    server.stop()
    assert not keep.kept.exists()


def test_what_cannot_be_taken_down_is_an_error(keep, wait_until):
    server = keep(will="raise SystemExit('the daemon does not answer')")
    kill_keeper(keep.folder)
    assert wait_until(lambda: server.exit is not None)
    with pytest.raises(LaunchError, match="could not be taken down: the daemon does not answer"):
        server.stop()


def test_of_a_dead_owner_the_keeper_takes_the_server_down_at_once(keep, tmp_path, wait_until):
    code = f"""
import os, sys, time
from pathlib import Path
import autotuner.launchers.kept as kept
from autotuner.supervision.wills import Will
os.environ["PYTHONPATH"] = {str(tmp_path)!r}
environment = kept.keeper_environment("token")
environment["PYTHONPATH"] += os.pathsep + {str(tmp_path)!r}
kept.keeper_environment = lambda token: environment
order = {{"kept": {str(keep.kept)!r}}}
server = kept.KeptServer(
    "a_keeper", order, Path({str(keep.folder)!r}), Will(("true",), "token", {{}}), stop_s=60.0
)
time.sleep(3600)
"""
    owner = subprocess.Popen([sys.executable, "-c", code])
    try:
        assert wait_until(keep.kept.exists)
        assert wait_until(lambda: KeeperFiles(keep.folder).read_state().url is not None)
    finally:
        owner.kill()
        owner.wait()
    assert wait_until(lambda: not keep.kept.exists())
    assert wait_until(keep.kept.with_suffix(".grace").exists)
    assert keep.kept.with_suffix(".grace").read_text() == "None"


def test_a_state_is_read_as_it_was_written(tmp_path):
    files = KeeperFiles(tmp_path)
    assert files.read_state() == KeeperState()
    fault = LaunchFault(FailureKind.UNSCHEDULABLE, "no room", "0/3 nodes")
    state = KeeperState("http://h:1", 7, fault, {"image": "i"}, gone=True)
    files.write_state(state)
    assert files.read_state() == state


def kill_keeper(folder: Path):
    status = json.loads((folder / "server.status.json").read_text())
    psutil.Process(status["pid"]).kill()
