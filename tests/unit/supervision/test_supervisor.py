import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import autotuner.supervision.supervisor as supervisor

PATIENCE_S = 60.0
PROGRAM = Path(supervisor.__file__)


@pytest.fixture
def supervise(tmp_path):
    """Start the supervisor as the program that it is, by itself; its status file and process."""
    started = []

    def supervise(command, grace_s=5.0, cpus="-"):
        status_file = tmp_path / "status.json"
        process = subprocess.Popen(
            [sys.executable, "-I", PROGRAM, status_file, str(grace_s), cpus, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, status_file

    yield supervise
    for process in started:
        process.stdin.close()
        process.wait(PATIENCE_S)
        process.stdout.close()


def ended(process, status_file):
    assert process.wait(PATIENCE_S) is not None
    return json.loads(status_file.read_text())


def test_only_the_standard_library_is_imported():
    imported = set()
    for node in ast.walk(ast.parse(PROGRAM.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import is one of ours"
            imported.add(node.module.partition(".")[0])
    assert imported <= sys.stdlib_module_names


def test_its_exit_status_is_that_of_the_command(supervise):
    process, status_file = supervise(["/bin/sh", "-c", "exit 3"])
    assert ended(process, status_file)["returncode"] == 3
    assert process.returncode == 3


def test_one_byte_is_a_polite_stop(supervise, marked):
    process, status_file = supervise(marked.python("print('ready', flush=True); time.sleep(600)"))
    assert process.stdout.readline() == "ready\n"
    process.stdin.write(".")
    process.stdin.flush()
    status = ended(process, status_file)
    assert (status["ended_by"], status["returncode"]) == ("stopped", -15)
    assert marked.all_gone()


def test_the_end_of_its_input_means_that_the_owner_is_gone(supervise, marked):
    process, status_file = supervise(marked.python("print('ready', flush=True); time.sleep(600)"))
    assert process.stdout.readline() == "ready\n"
    process.stdin.close()
    status = ended(process, status_file)
    assert (status["ended_by"], status["leftover"]) == ("owner_gone", [])
    assert marked.all_gone()


def test_an_absent_owner_is_not_waited_for_as_long_as_a_present_one(supervise, marked):
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True)"
    process, status_file = supervise(
        marked.python(code + "\nwhile True: time.sleep(60)"), grace_s=600.0
    )
    assert process.stdout.readline() == "ready\n"
    process.stdin.close()
    assert ended(process, status_file)["returncode"] == -9


def test_the_status_file_names_the_command_while_it_runs(supervise, marked):
    code = "print(os.getpid(), flush=True); sys.stdin.read(); time.sleep(600)"
    process, status_file = supervise(marked.python(code))
    pid = int(process.stdout.readline())
    assert json.loads(status_file.read_text())["pid"] == pid
    assert "ended_by" not in json.loads(status_file.read_text())


def test_a_command_that_cannot_be_written_down_is_not_run(tmp_path):
    """A sweep would not know its session if all who watch died at once."""
    done = subprocess.run(
        [sys.executable, "-I", PROGRAM, tmp_path / "missing" / "s.json", "5", "-", "echo", "ran"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode != 0
    assert done.stdout == ""
    assert "cannot execute echo" in done.stderr


def test_neither_interrupt_nor_terminate_keeps_it_from_its_duty(supervise, marked):
    process, status_file = supervise(marked.python("print('ready', flush=True); time.sleep(600)"))
    assert process.stdout.readline() == "ready\n"
    watchers = [pid for pid, line in marked.processes().items() if str(PROGRAM) in line]
    assert len(watchers) == 2
    for pid in watchers:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    process.stdin.write(".")
    process.stdin.flush()
    assert ended(process, status_file)["ended_by"] == "stopped"
    assert marked.all_gone()


def test_a_name_with_blanks_and_brackets_hides_no_process(supervise, marked, tmp_path):
    link = tmp_path / "a) S 1 (b"
    link.symlink_to(sys.executable)
    code = "import time; print('ready', flush=True); time.sleep(600)"
    root = f"subprocess.Popen([{str(link)!r}, '-c', {code!r}, sys.argv[1]], start_new_session=True)"
    process, status_file = supervise(marked.python(root + "\ntime.sleep(600)"), grace_s=0.1)
    assert process.stdout.readline() == "ready\n"
    process.stdin.close()
    assert ended(process, status_file)["leftover"] == []
    assert marked.all_gone()


IN_ORDER = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1.5), print("in order", flush=True), exit(4)))
print("ready", flush=True)
time.sleep(3600)
"""


def test_a_command_that_must_take_something_down_may_do_so_after_its_owner_s_death(supervise):
    process, status_file = supervise([sys.executable, "-u", "-c", IN_ORDER], grace_s="60,60")
    assert process.stdout.readline() == "ready\n"
    process.stdin.close()
    assert process.stdout.readline() == "in order\n"
    status = ended(process, status_file)
    assert (status["returncode"], status["ended_by"]) == (4, "owner_gone")
