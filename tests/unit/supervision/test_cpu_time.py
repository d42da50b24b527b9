import os
import subprocess
import sys

import pytest

from autotuner.supervision import cpu_time
from autotuner.supervision.cpu_time import machine_time, process_times, tree_of

TICKS = os.sysconf("SC_CLK_TCK")


def write_process(proc, pid, parent, *ticks, start=5, name="server"):
    """A process with its user and system ticks, and those of the children it waited for."""
    user, system, waited_user, waited_system = (*ticks, 0, 0, 0, 0)[:4]
    fields = ["S", parent, *[0] * 9, user, system, waited_user, waited_system, 0, 0, 1, 0, start]
    (proc / str(pid)).mkdir(exist_ok=True)
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) {' '.join(map(str, fields))} 0 0\n")


def test_busy_is_all_but_idle_and_waiting_for_a_disk_and_guests_are_counted_once(tmp_path):
    (tmp_path / "stat").write_text(
        "cpu  100 20 30 4000 500 6 7 8 90 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
        "cpu1 1 1 1 1 1 1 1 1 1 1\nintr 12345 0\nctxt 99\n"
    )
    machine = machine_time(tmp_path)
    assert machine.cpus == 2
    assert machine.busy_s == pytest.approx((100 + 20 + 30 + 6 + 7 + 8) / TICKS)


@pytest.mark.parametrize("text", ["", "intr 1\n", "cpu  a b c\n"])
def test_a_stat_without_the_machines_time_is_an_error(tmp_path, text):
    (tmp_path / "stat").write_text(text)
    with pytest.raises(ValueError, match=r"values|literal"):
        machine_time(tmp_path)


def test_a_process_has_its_own_time_and_that_of_those_it_waited_for(tmp_path):
    write_process(tmp_path, 7, 1, 10, 20, 300, 400, start=77, name="a) S 1 (b")
    process = process_times([7], tmp_path)[7]
    assert (process.parent, process.start_ticks) == (1, 77)
    assert process.own_s == pytest.approx(30 / TICKS)
    assert process.waited_s == pytest.approx(700 / TICKS)


def test_a_tree_is_its_root_and_all_below_and_a_tree_within_another_is_no_second_one(tmp_path):
    for pid, parent in {1: 0, 10: 1, 11: 10, 12: 11, 13: 10, 20: 1}.items():
        write_process(tmp_path, pid, parent)
    (tmp_path / "self").mkdir()
    processes = process_times([10], tmp_path)
    assert tree_of([10, 11], processes) == {10, 11, 12, 13}
    assert tree_of([99], processes) == frozenset()


@pytest.mark.parametrize("child_was_read", [True, False])
def test_a_table_in_which_a_process_of_the_tree_ended_is_read_again(
    tmp_path, monkeypatch, child_was_read
):
    """It would be counted twice, by itself and with its parent, or not at all."""
    write_process(tmp_path, 10, 1)
    write_process(tmp_path, 11, 10, 500)
    read, asked = cpu_time._process_time, []

    def while_the_child_ends(proc, pid):
        asked.append(pid)
        if asked.count(pid) > 1:
            return read(proc, pid)
        if pid == 11:
            told = read(proc, pid) if child_was_read else None
            (tmp_path / "11" / "stat").unlink()
            (tmp_path / "11").rmdir()
            return told
        before = read(proc, pid)
        write_process(tmp_path, 10, 1, 0, 0, 500)
        return read(proc, pid) if child_was_read else before

    monkeypatch.setattr(cpu_time, "_process_time", while_the_child_ends)
    processes = process_times([10], tmp_path)
    tree = tree_of([10], processes)
    assert sum(processes[pid].own_s + processes[pid].waited_s for pid in tree) == 500 / TICKS


def test_this_machine_tells_both():
    machine = machine_time()
    assert machine.cpus >= 1
    assert machine.busy_s > 0
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)
    own = process_times([os.getpid()])[os.getpid()]
    assert own.own_s > 0
    assert own.waited_s >= 0.25
