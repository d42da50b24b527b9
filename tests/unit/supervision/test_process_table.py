import os
import subprocess
import sys

from autotuner.supervision.process_table import process_name, process_state


def test_a_live_process_has_a_session_and_a_start():
    state = process_state(os.getpid())
    assert state.session == os.getsid(0)
    assert state.start_ticks > 0
    assert not state.ended


def test_a_process_that_waits_to_be_reaped_has_ended(wait_until):
    child = subprocess.Popen([sys.executable, "-c", ""])
    assert wait_until(lambda: process_state(child.pid).ended)
    child.wait()
    assert process_state(child.pid) is None


def test_a_name_with_brackets_and_spaces_hides_nothing(tmp_path, wait_until):
    program = tmp_path / "a) Z b"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(program), "600"])
    assert wait_until(lambda: process_name(child.pid) == "a) Z b")
    assert process_state(child.pid).session == os.getsid(0)
    assert not process_state(child.pid).ended
    child.kill()
    child.wait()
    assert process_name(child.pid) == "?"
