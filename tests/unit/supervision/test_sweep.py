import json
import os
import signal
import subprocess
import sys
import tempfile

import pytest

from autotuner.supervision import sweep as sweep_module
from autotuner.supervision.environment import LEASE_VARIABLE
from autotuner.supervision.lease import LEASE_FILE, held_lease, lease_root
from autotuner.supervision.process_table import process_state
from autotuner.supervision.sweep import dead_leases, sweep, sweep_attempt
from autotuner.supervision.wills import Will

OWNER = """\
import os, sys, time
from autotuner.supervision.environment import LEASE_VARIABLE, clean_environment
from autotuner.supervision.lease import held_lease
from autotuner.supervision.process import SupervisedProcess
with held_lease("abc-a1", "study1") as lease:
    environment = clean_environment(add={LEASE_VARIABLE: lease.token})
    command = sys.argv[3:]
    with SupervisedProcess(command, environment=environment, log_path=lease.folder / "server.log"):
        while True:
            time.sleep(1)
"""
TREE = 'spawn("import time; time.sleep(600)"); time.sleep(600)'
# Without the variable a process is known by its session alone.
FORGETFUL = """
spawn("import time; time.sleep(600)", env={"PATH": os.environ["PATH"]})
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"autotuner-{os.getuid()}"


@pytest.fixture
def owner(tmp_path, marked, wait_until):
    """Start an attempt that owns a server of two processes."""
    started = []

    def start(code=TREE):
        command = [sys.executable, "-c", OWNER, "-", "-", *marked.python(code)]
        process = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)})
        started.append(process)
        assert wait_until(lambda: servers(marked) >= 2)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def servers(marked):
    return sum("supervisor.py" not in line and "held_lease" not in line for line in lines(marked))


def lines(marked):
    return list(marked.processes().values())


def kill_owner_and_supervisors(process, marked):
    """At one blow, as when the kernel runs out of memory: nobody is left to clear the tree."""
    found = marked.processes()
    blow = [process.pid, *(pid for pid, line in found.items() if "supervisor.py" in line)]
    for pid in blow:
        os.kill(pid, signal.SIGSTOP)
    for pid in blow:
        os.kill(pid, signal.SIGKILL)
    process.wait()


def test_what_a_dead_attempt_left_is_ended_and_its_folder_removed(owner, marked, wait_until, root):
    kill_owner_and_supervisors(owner(), marked)
    # The server itself dies with its supervisor, its children do not.
    assert wait_until(lambda: len(marked.processes()) == 1)
    (swept,) = sweep()
    assert (swept.attempt_id, swept.study_id, len(swept.ended)) == ("abc-a1", "study1", 1)
    assert swept.left == ()
    assert marked.all_gone()
    assert [path for path in root.iterdir() if path.is_dir()] == []


def test_an_attempt_that_lives_is_left_alone(owner, marked):
    owner()
    before = set(marked.processes())
    assert sweep() == ()
    assert set(marked.processes()) == before


def test_a_session_is_known_by_its_leader_s_start(owner, marked, root):
    """Neither its number nor anything else is proof once the leader is another process."""
    process = owner(FORGETFUL)
    (folder,) = (path for path in root.iterdir() if path.is_dir())
    status_path = folder / "server.status.json"
    status = json.loads(status_path.read_text())
    process.send_signal(signal.SIGSTOP)
    members = sweep_module._members
    sessions = {status["pid"]: status["start_ticks"]}
    assert len(list(members("no such token", sessions))) == 2
    assert list(members("no such token", {status["pid"]: status["start_ticks"] + 1})) == []
    process.send_signal(signal.SIGCONT)


def test_a_process_with_another_token_is_not_touched(marked, wait_until):
    stranger = subprocess.Popen(
        marked.python("time.sleep(600)"), env={**os.environ, LEASE_VARIABLE: "of another"}
    )
    try:
        abandon("abc-a1")
        assert [swept.ended for swept in sweep()] == [()]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def abandon(attempt_id, *, mark=None, **changes):
    """A lease as its owner's death leaves it."""
    with held_lease(attempt_id, "s", mark) as lease:
        content = json.loads((lease.folder / LEASE_FILE).read_text())
    lease.folder.mkdir()
    (lease.folder / LEASE_FILE).write_text(json.dumps({**content, **changes}))
    return lease


def test_after_a_reboot_only_the_folder_is_removed(marked):
    started = subprocess.Popen(marked.python("time.sleep(600)"), start_new_session=True)
    try:
        lease = abandon("abc-a1", boot_id="an earlier one")
        status = {"pid": started.pid, "start_ticks": process_state(started.pid).start_ticks}
        (lease.folder / "server.status.json").write_text(json.dumps(status))
        assert [swept.ended for swept in sweep()] == [()]
        assert not lease.folder.exists()
        assert started.poll() is None
    finally:
        started.kill()
        started.wait()


def test_a_lease_of_another_container_is_not_ours_to_judge():
    lease = abandon("abc-a1", pid_namespace="pid:[1]")
    assert sweep() == ()
    assert lease.folder.exists()


def test_a_folder_without_a_lease_is_of_an_attempt_killed_at_its_birth():
    folder = lease_root() / "abc-a1-xyz"
    folder.mkdir()
    (swept,) = sweep()
    assert (swept.attempt_id, swept.ended) == ("abc-a1-xyz", ())
    assert not folder.exists()


def test_another_driver_s_attempt_of_the_same_id_is_not_waited_for():
    with held_lease("abc-a1", "s", "abc-a1-otherone"):
        abandon("abc-a1", mark="abc-a1-thisone0")
        assert sweep_attempt("abc-a1-thisone0", timeout_s=5.0)


def test_dead_leases_are_named_and_left():
    lease = abandon("abc-a1")
    assert dead_leases() == ("abc-a1",)
    assert lease.folder.exists()


def test_what_cannot_be_ended_is_said_and_its_folder_kept(monkeypatch):
    lease = abandon("abc-a1")
    monkeypatch.setattr(sweep_module, "_members", lambda *_: iter([10**8]))
    monkeypatch.setattr(sweep_module, "_KILL_S", 0.1)
    (swept,) = sweep()
    assert (swept.ended, swept.left) == ((), (10**8,))
    assert lease.folder.exists()


def test_a_folder_that_another_sweep_has_just_removed_is_passed_by(tmp_path):
    assert sweep_module._claim(tmp_path / "gone") is None


def leave_dead(attempt_id, *wills):
    """The folder of an attempt whose owner is dead, with commands that take down its server."""
    folder = lease_root() / f"{attempt_id}-x"
    folder.mkdir()
    (folder / LEASE_FILE).write_text(json.dumps({"attempt_id": attempt_id, "study_id": "s"}))
    for number, code in enumerate(wills):
        command = (sys.executable, "-c", code)
        Will(command, "token", {}).write(folder / f"{number}.will.json")
    return folder


def test_what_a_dead_attempt_willed_is_done(tmp_path):
    folder = leave_dead("dead-a1", f"open({str(tmp_path / 'taken-down')!r}, 'w').close()")
    (swept,) = sweep()
    assert swept.undone == ()
    assert (tmp_path / "taken-down").exists()
    assert not folder.exists()


def test_a_will_that_fails_is_told_and_kept_for_the_next_sweep(tmp_path):
    path = tmp_path / "daemon"
    folder = leave_dead("dead-a1", f"open({str(path)!r}).close()")
    (swept,) = sweep()
    assert "FileNotFoundError" in swept.undone[0]
    assert folder.exists()
    path.touch()
    assert sweep()[0].undone == ()
    assert not folder.exists()


def test_a_will_is_carried_out_on_every_boot(monkeypatch, tmp_path):
    leave_dead("dead-a1", f"open({str(tmp_path / 'taken-down')!r}, 'w').close()")
    monkeypatch.setattr(sweep_module, "boot_id", lambda: "another boot")
    sweep()
    assert (tmp_path / "taken-down").exists()
