import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from autotuner.errors import LaunchError
from autotuner.supervision.process import ProcessExit

PATIENCE_S = 60.0

STUBBORN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True: time.sleep(60)
"""

# A child in the session, a daemon in a session of its own, and a grandchild twice removed
# whose parents are gone before it is looked for. None of them heeds SIGTERM.
TREE = """
code = sys.argv[2] + '''
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("sleeping", flush=True)
while True: time.sleep(60)
'''
parent = sys.argv[2] + '''
spawn(%r, start_new_session=True)
''' % code
grandparent = sys.argv[2] + '''
spawn(%r, start_new_session=True)
''' % parent
signal.signal(signal.SIGTERM, signal.SIG_IGN)
spawn(code)
spawn(code, start_new_session=True)
spawn(grandparent, start_new_session=True)
print("root", flush=True)
while True: time.sleep(60)
"""

OWNER = """
import json, os, signal, sys, time
from pathlib import Path
from autotuner.supervision.process import SupervisedProcess
command, log = json.loads(sys.argv[1]), Path(sys.argv[2])
{before}
process = SupervisedProcess(command, environment=dict(os.environ), log_path=log, grace_s=0.2)
print(process._supervisor.pid, flush=True)
{after}
"""


@pytest.fixture
def own(tmp_path):
    """Start a process that owns a supervised command; returns it and its direct child's id."""
    owners = []

    def own(command, before="", after="time.sleep(600)"):
        code = OWNER.format(before=before, after=after)
        owner = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(command), str(tmp_path / "owned.log")],
            stdout=subprocess.PIPE,
            text=True,
        )
        owners.append(owner)
        return owner, int(owner.stdout.readline())

    yield own
    for owner in owners:
        owner.kill()
        owner.wait()
        owner.stdout.close()


@pytest.fixture
def tree_stands(marked, until, tmp_path):
    """Wait until all of TREE runs: three that sleep, and the root."""

    def stands(log):
        return until(lambda: log.exists() and log.read_text().count("sleeping") == 3)

    return stands


@pytest.mark.parametrize("status", [0, 3])
def test_the_exit_status_of_the_command_comes_through(start, marked, status):
    ended = start(marked.python(f"sys.exit({status})")).wait(PATIENCE_S)
    assert (ended.returncode, ended.ended_by) == (status, "exited")
    assert str(ended) == f"exit status {status}"


def test_a_command_killed_by_a_signal_says_which(start, marked):
    ended = start(marked.python("os.kill(os.getpid(), signal.SIGKILL)")).wait(PATIENCE_S)
    assert (ended.returncode, ended.ended_by) == (-signal.SIGKILL, "exited")
    assert str(ended) == "killed by signal 9"


def test_an_unknown_status_is_called_unknown():
    assert "unknown" in str(ProcessExit(None, "supervisor_killed"))


def test_a_running_command_has_a_pid_and_no_exit(start, marked, said):
    process = start(marked.python("print('pid', os.getpid(), flush=True); time.sleep(600)"))
    assert said(process, "pid")
    assert process.alive
    assert process.exit is None
    assert process.wait(0.0) is None
    assert f"pid {process.pid}\n" in process.log_tail()
    assert os.getsid(process.pid) == process.pid


def test_stop_is_a_polite_request_first(start, marked, said):
    code = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('ready', flush=True)"
    process = start(marked.python(code + "\nwhile True: time.sleep(60)"))
    assert said(process, "ready")
    ended = process.stop()
    assert (ended.returncode, ended.ended_by, ended.leftover) == (7, "stopped", ())
    assert marked.all_gone()


def test_stop_ends_a_command_that_ignores_the_request(start, marked, said):
    process = start(marked.python(STUBBORN), grace_s=0.1)
    assert said(process, "ready")
    assert process.stop().returncode == -signal.SIGKILL
    assert marked.all_gone()


def test_a_hurried_stop_does_not_wait_for_the_grace_period(start, marked, said):
    process = start(marked.python(STUBBORN), grace_s=100_000.0)
    assert said(process, "ready")
    assert process.stop(hurry=True).returncode == -signal.SIGKILL
    assert marked.all_gone()


def test_stop_ends_daemons_and_orphans_of_other_sessions_too(start, marked, tree_stands):
    process = start(marked.python(TREE), grace_s=0.1)
    assert tree_stands(process.log_path)
    ended = process.stop()
    assert (ended.ended_by, ended.leftover) == ("stopped", ())
    assert marked.processes() == {}


def test_what_a_command_leaves_behind_ends_with_it(start, marked, said):
    code = "spawn(sys.argv[2] + 'time.sleep(600)', start_new_session=True); sys.exit(5)"
    ended = start(marked.python(code)).wait(PATIENCE_S)
    assert (ended.returncode, ended.ended_by) == (5, "exited")
    assert marked.processes() == {}


def test_stop_may_be_called_twice_and_after_the_end(start, marked):
    process = start(marked.python("sys.exit(3)"))
    process.wait(PATIENCE_S)
    first = process.stop()
    assert process.stop() == first == process.exit
    assert first.returncode == 3


def test_leaving_the_context_stops_the_command(start, marked, said):
    with start(marked.python("print('ready', flush=True); time.sleep(600)")) as process:
        assert said(process, "ready")
    assert not process.alive
    assert process.exit.ended_by == "stopped"
    assert marked.all_gone()


def test_the_cpu_time_of_the_tree_is_counted(start, marked):
    code = "end = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    assert start(marked.python(code)).wait(PATIENCE_S).cpu_s >= 0.2


def test_the_tree_ends_when_its_owner_is_killed(own, marked, tree_stands, tmp_path):
    owner, _ = own(marked.python(TREE))
    assert tree_stands(tmp_path / "owned.log")
    owner.kill()
    assert marked.all_gone()


def test_the_tree_ends_when_owner_and_direct_child_are_killed_at_once(
    own, marked, tree_stands, tmp_path
):
    # As Ray does with a worker: it and its direct children get SIGKILL.
    owner, direct_child = own(marked.python(TREE))
    assert tree_stands(tmp_path / "owned.log")
    os.kill(owner.pid, signal.SIGSTOP)
    os.kill(direct_child, signal.SIGKILL)
    owner.kill()
    assert marked.all_gone()
    status = json.loads((tmp_path / "owned.status.json").read_text())
    assert (status["ended_by"], status["leftover"]) == ("owner_gone", [])


def test_the_command_outlives_the_outer_of_its_two_watchers(start, marked, said):
    process = start(marked.python("print('ready', flush=True); time.sleep(600)"))
    assert said(process, "ready")
    os.kill(process._supervisor.pid, signal.SIGKILL)
    process._supervisor.wait()
    assert process.alive
    assert process.exit is None
    ended = process.stop()
    assert (ended.ended_by, ended.returncode) == ("stopped", -signal.SIGTERM)
    assert marked.all_gone()


def test_the_tree_ends_when_the_inner_of_its_two_watchers_is_killed(start, marked, tree_stands):
    process = start(marked.python(TREE))
    assert tree_stands(process.log_path)
    (watchdog,) = psutil.Process(process._supervisor.pid).children()
    watchdog.kill()
    ended = process.wait(PATIENCE_S)
    assert (ended.ended_by, ended.returncode) == ("supervisor_killed", None)
    assert marked.all_gone()


def test_an_owner_that_ignores_its_childrens_end_still_reads_their_status(own, marked):
    after = "print(process.wait(60).returncode, process.stop().returncode, flush=True)"
    ignore = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    owner, _ = own(marked.python("sys.exit(3)"), before=ignore, after=after)
    assert owner.stdout.read().split() == ["3", "3"]


def test_signals_that_the_owner_blocks_or_ignores_reach_the_command(own, marked, tmp_path):
    before = """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
"""
    look = "print(open('/proc/self/status').read(), flush=True)"
    owner, _ = own(marked.python(look), before=before, after="process.wait(60)")
    assert owner.wait(PATIENCE_S) == 0
    fields = dict(
        line.split(":\t", 1)
        for line in (tmp_path / "owned.log").read_text().splitlines()
        if line.startswith("Sig")
    )
    asked = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    bits = sum(1 << (number - 1) for number in asked)
    assert int(fields["SigBlk"], 16) & bits == 0
    assert int(fields["SigIgn"], 16) & bits == 0


def test_a_program_that_is_missing_is_a_launch_error(start, tmp_path):
    with pytest.raises(LaunchError, match="no-such-program"):
        start(["no-such-program"])
    not_executable = tmp_path / "plain.txt"
    not_executable.write_text("#!/bin/sh\n")
    with pytest.raises(LaunchError, match=r"plain\.txt"):
        start([str(not_executable)])


def test_a_program_is_looked_for_on_the_path_of_its_own_environment(start, tmp_path):
    program = tmp_path / "engine-of-this-test"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    with pytest.raises(LaunchError, match="engine-of-this-test"):
        start([program.name])
    process = start([program.name], environment={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert process.wait(PATIENCE_S).returncode == 0
    assert process.log_tail() == "found\n"


def test_a_program_whose_interpreter_is_missing_says_so(start, tmp_path):
    program = tmp_path / "moved"
    program.write_text("#!/no/such/python\n")
    program.chmod(0o755)
    process = start([str(program)])
    ended = process.wait(PATIENCE_S)
    assert (ended.returncode, ended.ended_by) == (127, "exited")
    assert process.log_tail().startswith(f"cannot execute {program}:")


def test_a_cpu_that_the_node_does_not_have_is_a_launch_error(start, marked):
    with pytest.raises(LaunchError, match="8191"):
        start(marked.python(""), cpus=(8191,))


def test_a_cpu_set_is_the_affinity_of_the_command(start, marked):
    cpu = max(os.sched_getaffinity(0))
    look = "print(open('/proc/self/status').read(), flush=True)"
    process = start(marked.python(look), cpus=(cpu,))
    process.wait(PATIENCE_S)
    assert f"Cpus_allowed_list:\t{cpu}\n" in process.log_tail()


def test_without_a_cpu_set_the_affinity_is_ours(start, marked):
    process = start(marked.python("print(sorted(os.sched_getaffinity(0)))"))
    process.wait(PATIENCE_S)
    assert process.log_tail() == f"{sorted(os.sched_getaffinity(0))}\n"


def test_the_log_holds_both_streams_and_goes_on_where_it_ended(start, marked, tmp_path):
    log = tmp_path / "both.log"
    for word in ("first", "second"):
        code = f"print('out {word}', flush=True); print('err {word}', file=sys.stderr)"
        start(marked.python(code), log_path=log).wait(PATIENCE_S)
    assert log.read_text() == "out first\nerr first\nout second\nerr second\n"


def test_the_end_of_a_log_is_cut_to_size_and_a_missing_log_is_empty(start, marked):
    process = start(marked.python("print('x' * 100, end='é')"))
    process.wait(PATIENCE_S)
    assert process.log_tail(max_bytes=5) == "xxxé"
    process.log_path.unlink()
    assert process.log_tail() == ""


def test_the_command_sees_the_given_environment_and_folder(start, marked, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    code = "print(os.getcwd(), os.environ.get('ONLY'), os.environ.get('HOME'), flush=True)"
    process = start(marked.python(code), environment={"ONLY": "this"}, cwd=folder)
    process.wait(PATIENCE_S)
    assert process.log_tail() == f"{folder} this None\n"


def test_a_log_path_means_a_place_of_the_owner_even_with_another_folder(
    start, marked, tmp_path, monkeypatch
):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    process = start(
        marked.python("sys.exit(3)"), log_path=Path("here.log"), cwd=tmp_path / "elsewhere"
    )
    assert process.wait(PATIENCE_S).returncode == 3


def test_the_command_does_not_read_what_the_owner_writes(start, marked):
    process = start(marked.python("print(repr(sys.stdin.read()))"))
    assert process.wait(PATIENCE_S).returncode == 0
    assert process.log_tail() == "''\n"


def test_what_became_of_the_command_stays_on_disk(start, marked):
    process = start(marked.python("sys.exit(4)"))
    process.wait(PATIENCE_S)
    status = json.loads(process.log_path.with_suffix(".status.json").read_text())
    assert (status["returncode"], status["ended_by"]) == (4, "exited")
    assert status["pid"] == process.pid


def test_the_status_of_an_earlier_command_is_not_mistaken_for_this_one(start, marked, tmp_path):
    log = tmp_path / "shared.log"
    log.with_suffix(".status.json").write_text(json.dumps({"pid": 1, "ended_by": "exited"}))
    process = start(marked.python("time.sleep(600)"), log_path=log)
    assert process.pid != 1
    assert process.exit is None


def test_no_zombie_and_no_open_file_remains(start, marked, our_children):
    children, files = our_children(), psutil.Process().num_fds()
    ended = start(marked.python("sys.exit(0)"))
    ended.wait(PATIENCE_S)
    assert our_children() == children
    ended.stop()
    start(marked.python("time.sleep(600)")).stop()
    assert our_children() == children
    assert psutil.Process().num_fds() == files


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may raise a priority")
def test_the_command_does_not_inherit_the_low_priority_of_its_owner(own, marked, tmp_path):
    look = """
print("nice", os.getpriority(os.PRIO_PROCESS, 0))
print("oom", open("/proc/self/oom_score_adj").read(), flush=True)
"""
    low = "os.nice(15); Path('/proc/self/oom_score_adj').write_text('1000')"
    owner, _ = own(marked.python(look), before=low, after="process.wait(60); process.stop()")
    assert owner.wait(PATIENCE_S) == 0
    assert (tmp_path / "owned.log").read_text().split() == ["nice", "0", "oom", "0"]
