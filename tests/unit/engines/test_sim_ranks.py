"""Simulated servers of two ranks, as processes that find each other on loopback."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys

import pytest

from autotuner.engines.sim_server import main

PATIENCE_S = 60


class Ranks:
    """Processes of the ranks by their number, started one by one."""

    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.meeting = str(probe.getsockname()[1])
        self.processes = {}

    def start(self, rank, *flags, nodes=2):
        argv = [sys.executable, "-m", "autotuner.engines.sim_server", "--model", "m", "--port", "0"]
        place = ["--nnodes", str(nodes), "--node-rank", str(rank), "--master-port", self.meeting]
        self.processes[rank] = subprocess.Popen(
            [*argv, "--time-scale", "0", *place, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def read_until(self, rank, text):
        for line in self.processes[rank].stdout:
            if text in line:
                return line
        return pytest.fail(f"rank {rank}: {self.processes[rank].stderr.read()}")

    def complete(self, port, timeout_s=PATIENCE_S):
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.request("POST", "/v1/chat/completions", json.dumps(body))
            return connection.getresponse().status

    def serving(self):
        """The port of rank 0, once it serves."""
        return int(self.read_until(0, "ready on").rsplit(":", 1)[1])

    def status(self, rank):
        return self.processes[rank].wait(PATIENCE_S)


@pytest.fixture
def ranks():
    ranks = Ranks()
    yield ranks
    for process in ranks.processes.values():
        process.kill()
        process.communicate()


def test_rank_0_serves_once_all_have_joined_in_whatever_order_they_come(ranks):
    ranks.start(2, nodes=3)
    ranks.start(0, nodes=3)
    ranks.read_until(0, "rank 2 has joined")
    ranks.start(1, nodes=3)
    assert ranks.read_until(0, "has joined") == "rank 1 has joined\n"
    assert ranks.complete(ranks.serving()) == 200


@pytest.mark.parametrize(("gone", "left"), [(0, 1), (1, 0)])
def test_a_rank_that_has_lost_another_ends_with_an_error(ranks, gone, left):
    ranks.start(0)
    ranks.start(1)
    ranks.serving()
    ranks.processes[gone].send_signal(signal.SIGKILL)
    assert ranks.status(left) == 1
    assert f"rank {gone} is gone" in ranks.processes[left].stderr.read()


def test_faults_are_of_one_rank_and_requests_reach_all(ranks):
    faults = ["--fault-crash-after-requests", "1", "--fault-rank", "1"]
    ranks.start(0, *faults)
    ranks.start(1, *faults)
    port = ranks.serving()
    assert ranks.complete(port) == 200
    with contextlib.suppress(OSError, http.client.HTTPException):
        ranks.complete(port)
    assert ranks.status(1) == 139
    assert ranks.status(0) == 1


def test_a_rank_that_hangs_holds_up_every_request(ranks):
    faults = ["--fault-hang-after-requests", "1", "--fault-rank", "1"]
    ranks.start(0, *faults)
    ranks.start(1, *faults)
    port = ranks.serving()
    assert ranks.complete(port) == 200
    with pytest.raises(TimeoutError):
        ranks.complete(port, timeout_s=0.5)
    assert ranks.processes[0].poll() is None


def test_a_fault_at_the_start_of_a_rank_keeps_rank_0_from_serving(ranks):
    faults = ["--fault-oom-at-start", "--fault-rank", "1"]
    ranks.start(1, *faults)
    assert ranks.status(1) == 1
    assert "CUDA out of memory" in ranks.processes[1].stderr.read()


@pytest.mark.parametrize("rank", ["-1", "2"])
def test_a_rank_that_there_is_not_is_refused(rank, capsys):
    with pytest.raises(SystemExit):
        main(["--model", "m", "--nnodes", "2", f"--node-rank={rank}"])
    assert "--node-rank" in capsys.readouterr().err
