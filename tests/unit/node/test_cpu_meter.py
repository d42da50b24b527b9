"""What an attempt used of a node's CPUs, and what others did: written and real processes."""

import json
import os
import subprocess
import sys
import time

import pytest

from autotuner.node import cpu_meter
from autotuner.node.cpu_meter import CpuMeter
from autotuner.supervision.process import SupervisedProcess

TICKS = os.sysconf("SC_CLK_TCK")
SUPERVISOR, SERVER, WORKER, STRANGER = 100, 101, 102, 900


class Node:
    """A written /proc of 8 CPUs, an attempt's folder, and a clock, all moved by the test."""

    def __init__(self, tmp_path):
        self.proc, self.folder = tmp_path / "proc", tmp_path / "attempt"
        self.proc.mkdir()
        self.folder.mkdir()
        self.now, self.busy_s, self.server_pid = 1000.0, 5000.0, SERVER
        self.meter = CpuMeter(self.folder, lambda: self.server_pid, self.proc)
        self.used = dict.fromkeys((os.getpid(), SUPERVISOR, SERVER, WORKER, STRANGER), 0.0)
        self.waited = dict.fromkeys(self.used, 0.0)
        self.parents = {SERVER: SUPERVISOR, WORKER: SERVER, SUPERVISOR: os.getpid()}
        self.status("server", pid=SERVER, start_ticks=5)
        self.write()

    def status(self, name, **content):
        (self.folder / f"{name}.status.json").write_text(json.dumps(content))

    def work(self, wall_s, **seconds):
        """Let time pass in which processes and, as ``others_s``, strangers work."""
        self.now += wall_s
        self.busy_s += sum(seconds.values())
        for name, used_s in seconds.items():
            self.used[globals().get(name, os.getpid())] += used_s
        self.write()

    def end(self, pid):
        """A process ends, and its parent waits for it."""
        used_s = self.used.pop(pid) + self.waited.pop(pid)
        self.waited[self.parents[pid]] += used_s
        (self.proc / str(pid) / "stat").unlink()
        (self.proc / str(pid)).rmdir()
        self.write()

    def write(self):
        ticks = round(self.busy_s * TICKS)
        lines = [f"cpu  {ticks} 0 0 77777 0 0 0 0 0 0", *(f"cpu{n} 1" for n in range(8))]
        (self.proc / "stat").write_text("\n".join(lines) + "\n")
        for pid, used_s in self.used.items():
            (self.proc / str(pid)).mkdir(exist_ok=True)
            times = [round(used_s * TICKS), 0, round(self.waited[pid] * TICKS), 0]
            fields = ["S", self.parents.get(pid, 1), *[0] * 9, *times, 0, 0, 1, 0, 5]
            text = f"{pid} (python) {' '.join(map(str, fields))} 0\n"
            (self.proc / str(pid) / "stat").write_text(text)


@pytest.fixture
def node(tmp_path, monkeypatch):
    written = Node(tmp_path)

    class Clock:
        @staticmethod
        def monotonic():
            return written.now

    monkeypatch.setattr(cpu_meter, "time", Clock)
    return written


def test_foreign_is_what_the_machine_did_less_what_the_attempt_did(node):
    used = node.meter.watch()
    node.work(10.0, SERVER=12.0, WORKER=5.0, ACTOR=3.0, STRANGER=30.0)
    cpus = used()
    assert (cpus.cpus, cpus.unknown) == (8, None)
    assert cpus.own == pytest.approx(2.0)
    assert cpus.foreign == pytest.approx(3.0)


def test_only_what_happens_while_it_watches_counts(node):
    node.work(100.0, SERVER=70.0, STRANGER=80.0)
    used = node.meter.watch()
    node.work(10.0, SERVER=5.0)
    assert used().foreign == pytest.approx(0.0)


def test_a_process_of_ours_that_ended_meanwhile_is_not_foreign(node):
    used = node.meter.watch()
    node.work(5.0, WORKER=4.0)
    node.end(WORKER)
    node.work(5.0, STRANGER=1.0)
    cpus = used()
    assert (cpus.own, cpus.foreign) == (pytest.approx(0.4), pytest.approx(0.1))


def test_a_whole_tree_that_ended_meanwhile_is_not_foreign(node):
    """A call of the load generator: its supervisor writes the sum down, and goes."""
    load, root = 201, 200
    node.used |= {load: 0.0, root: 0.0}
    node.waited |= {load: 0.0, root: 0.0}
    node.parents |= {load: root, root: os.getpid()}
    node.status("bench-chat-0", pid=load, start_ticks=5)
    node.write()
    used = node.meter.watch()
    node.now += 10.0
    node.busy_s += 6.0
    node.used[load] += 6.0
    node.end(load)
    node.end(root)
    node.status("bench-chat-0", pid=load, start_ticks=5, ended_by="exited", cpu_s=6.0)
    assert used().foreign == pytest.approx(0.0)


def test_a_server_that_is_no_child_of_ours_is_counted_all_the_same(node):
    """A container's first process."""
    node.parents[SERVER] = 1
    keeper = 301
    node.used[keeper] = node.waited[keeper] = 0.0
    node.parents[keeper] = SUPERVISOR
    node.status("server", pid=keeper, start_ticks=5)
    node.write()
    used = node.meter.watch()
    node.work(10.0, SERVER=8.0, WORKER=4.0, STRANGER=2.0)
    cpus = used()
    assert (cpus.own, cpus.foreign) == (pytest.approx(1.2), pytest.approx(0.2))


def test_children_of_this_process_that_are_not_the_attempts_are_foreign(node):
    """Where several attempts run in one process, each one's server is another's neighbour."""
    node.parents[STRANGER] = os.getpid()
    node.write()
    used = node.meter.watch()
    node.work(10.0, STRANGER=10.0)
    assert used().foreign == pytest.approx(1.0)


def test_ticks_that_the_machine_misses_are_no_negative_load(node):
    used = node.meter.watch()
    node.work(10.0, SERVER=5.0)
    node.busy_s -= 0.3
    node.write()
    assert used().foreign == 0.0


@pytest.mark.parametrize("when", ["before", "after"])
def test_of_a_server_elsewhere_nothing_is_said_and_why(node, when):
    node.server_pid = None if when == "before" else SERVER
    used = node.meter.watch()
    node.server_pid = None
    node.work(10.0, STRANGER=5.0)
    cpus = used()
    assert (cpus.cpus, cpus.own, cpus.foreign) == (None, None, None)
    assert cpus.unknown == "no process of the server can be seen on the node of the load"


def test_a_level_too_short_for_the_kernels_ticks_is_not_judged(node):
    used = node.meter.watch()
    node.work(0.2, STRANGER=0.2)
    assert used().unknown == "the level was shorter than 0.5 s"


def test_a_server_that_has_ended_takes_its_count_with_it(node):
    used = node.meter.watch()
    node.work(10.0, SERVER=5.0)
    node.used.pop(WORKER)
    node.end(SERVER)
    node.status("server", pid=SERVER, start_ticks=5, ended_by="exited", cpu_s=5.0)
    assert used().unknown == "the server had ended"


def test_another_process_with_the_number_of_ours_is_not_taken_for_it(node):
    node.status("bench-chat-0", pid=STRANGER, start_ticks=4)
    used = node.meter.watch()
    node.work(10.0)
    assert used().unknown == "a process of the attempt was just ending"


def test_a_killed_supervisor_is_noticed(node):
    node.work(100.0, WORKER=50.0)
    node.end(WORKER)
    used = node.meter.watch()
    node.work(10.0)
    node.waited[SERVER] = 0.0
    node.write()
    assert used().unknown == "a supervisor was killed, and with it its count"


def test_a_machine_that_does_not_count_is_noticed(node):
    """Sandboxes show zeros."""
    used = node.meter.watch()
    node.work(10.0, SERVER=8.0)
    node.busy_s = 5000.0
    node.write()
    assert used().unknown == "/proc/stat does not count what the machine's CPUs do"


def test_a_proc_that_cannot_be_read_fails_no_level(node):
    (node.proc / "stat").unlink()
    assert "cannot be read" in node.meter.watch()().unknown


BURN = "import time\nwhile time.process_time() < 0.4: pass\nprint('burnt', flush=True)"
DETACHED = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {BURN!r}])"
TREE = f"""
import subprocess, sys, time
subprocess.run([sys.executable, "-c", {BURN!r}])
subprocess.Popen([sys.executable, "-c", {BURN!r}], start_new_session=True).wait()
subprocess.run([sys.executable, "-c", {DETACHED!r}])
time.sleep(3600)
"""


def test_real_processes_that_come_and_go_below_a_server_are_all_its_own(tmp_path, wait_until):
    """Also one in a session of its own, and one whose parent has ended before it."""
    with SupervisedProcess(
        [sys.executable, "-c", TREE],
        environment=dict(os.environ),
        log_path=tmp_path / "server.log",
    ) as server:
        assert wait_until(lambda: server.pid is not None)
        meter = CpuMeter(tmp_path, lambda: server.pid)
        used, begun = meter.watch(), time.monotonic()
        assert wait_until(lambda: server.log_tail().count("burnt") == 3)
        cpus, ended = used(), time.monotonic()
    assert cpus.unknown is None
    assert cpus.own * (ended - begun) >= 1.2 - 0.1


def test_a_real_stranger_is_foreign(tmp_path, wait_until):
    with SupervisedProcess(
        ["sleep", "3600"], environment=dict(os.environ), log_path=tmp_path / "server.log"
    ) as server:
        assert wait_until(lambda: server.pid is not None)
        used, begun = CpuMeter(tmp_path, lambda: server.pid).watch(), time.monotonic()
        burn = BURN.replace("0.4", "1.0")
        subprocess.run([sys.executable, "-c", burn], check=True)
        cpus, ended = used(), time.monotonic()
    assert cpus.unknown is None
    # The machine counts by ticks: a quarter is more than these miss of a busy process.
    assert cpus.foreign * (ended - begun) >= 0.75
