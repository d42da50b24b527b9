import os
import socket
import sys
import uuid
from urllib.parse import urlsplit

import pytest

from autotuner.errors import LaunchError
from autotuner.launchers.base import LaunchRequest
from autotuner.launchers.process import ProcessLauncher
from autotuner.spec.server import CpuPlan, Footprint, Model, ServerConfig
from autotuner.supervision.lease import Lease

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "GREETING": "hello"}
SLEEP = "import os, time; print(os.environ['GREETING'], flush=True); time.sleep(3600)"


@pytest.fixture
def launch(tmp_path):
    servers = []
    lease = Lease("e-a1", "study", "token", "boot", "namespace", tmp_path)

    def start(code=SLEEP, *, program=sys.executable, cpus=()):
        request = LaunchRequest(
            attempt_id="e-a1",
            study_id="study",
            served_name="ours",
            server=ServerConfig("sim", Model("/m", "/m"), {}),
            footprint=Footprint(0, cpus=CpuPlan(server=cpus)),
            gpu_ids=(),
            command=lambda server, host, port: [program, "-c", code, host, str(port)],
            environment=ENVIRONMENT,
            variables={},
            lease=lease,
            stop_s=5.0,
        )
        servers.append(ProcessLauncher().start(request))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def test_the_server_gets_the_address_that_it_is_then_asked_at(launch, wait_until):
    server = launch("import sys; print(*sys.argv[1:])")
    assert wait_until(lambda: server.exit)
    host, port = server.log_tail().split()
    assert server.url == f"http://{host}:{port}"
    assert host == "127.0.0.1"


def test_its_port_is_free(launch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", urlsplit(launch().url).port))


def test_it_runs_in_the_environment_and_the_folder_of_the_request(launch, tmp_path, wait_until):
    server = launch("import os; print(os.environ['GREETING'], os.getcwd())")
    assert wait_until(lambda: server.exit)
    assert server.log_tail().split() == ["hello", str(tmp_path)]
    assert (tmp_path / "server.log").read_text() == server.log_tail()


def test_a_live_server_has_no_exit_and_a_stopped_one_has(launch, wait_until):
    server = launch()
    assert wait_until(lambda: "hello" in server.log_tail())
    assert server.exit is None
    assert isinstance(server.pid, int)
    stopped = server.stop()
    assert stopped.ended_by == "stopped"
    assert server.exit == stopped == server.stop()


def test_a_server_that_ends_by_itself_says_how(launch, wait_until):
    server = launch("raise SystemExit(3)")
    assert wait_until(lambda: server.exit)
    assert (server.exit.ended_by, server.exit.returncode) == ("exited", 3)


def test_leaving_the_context_stops_the_server(launch):
    with launch() as server:
        pass
    assert server.exit is not None


def test_a_missing_program_is_a_launch_error_and_leaves_nothing(launch, tmp_path):
    with pytest.raises(LaunchError, match="/no/such/program"):
        launch(program="/no/such/program")
    assert list(tmp_path.iterdir()) == []


def test_the_log_tail_is_the_end_of_the_log(launch, wait_until):
    server = launch("print('x' * 1000); print('the end')")
    assert wait_until(lambda: server.exit)
    assert server.log_tail(8) == "the end\n"


def test_a_server_is_asked_in_its_own_environment(launch):
    assert launch().ask(["/bin/sh", "-c", "echo $GREETING; echo more"]) == "hello"


@pytest.mark.parametrize("command", [["/no/such/program"], ["false"], ["true"]])
def test_a_question_without_an_answer_is_none(launch, command):
    assert launch().ask(command) is None


class TestPrinted:
    """What a program prints where servers would run."""

    SERVER = ServerConfig("sim", Model("/m", "/m"), {})

    def printed(self, code, *, program=sys.executable, timeout_s=60.0, **environment):
        return ProcessLauncher().printed_by(
            self.SERVER, [program, "-c", code], environment, timeout_s=timeout_s
        )

    def test_it_is_the_standard_output_whatever_the_exit_status(self):
        code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
        assert self.printed(code) == "out\n"

    def test_it_runs_in_a_servers_environment_without_a_device(self, monkeypatch):
        monkeypatch.setenv("RAY_ADDRESS", "x")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
        code = "import os; print([os.environ.get(n) for n in ('RAY_ADDRESS', 'GREETING')])"
        assert self.printed(code, GREETING="hello") == "[None, 'hello']\n"
        assert self.printed("import os; print(os.environ['CUDA_VISIBLE_DEVICES'])") == "\n"

    def test_a_missing_program_prints_nothing(self):
        assert self.printed("", program="no-such-program") is None

    def test_one_that_takes_too_long_is_ended_with_all_it_started(self, find_processes, wait_until):
        mark = f"autotuner-test-{uuid.uuid4().hex}"
        child = f"[{sys.executable!r}, '-c', 'import time; time.sleep(3600)', {mark!r}]"
        code = f"import subprocess, time; subprocess.Popen({child}); time.sleep(3600)"
        assert self.printed(code, timeout_s=2.0) is None
        assert wait_until(lambda: not find_processes(mark))

    def test_a_program_is_told_from_another_and_from_itself_after_a_change(self, tmp_path):
        def identity(program):
            return ProcessLauncher().identity(self.SERVER, str(program), {})

        first, second = tmp_path / "first", tmp_path / "second"
        for path in (first, second):
            path.write_text("#!/bin/sh\n")
            path.chmod(0o755)
            os.utime(path, (1, 1))
        assert identity(first) == identity(first) != identity(second)
        before = identity(first)
        os.utime(first, (2, 2))
        assert identity(first) != before
        assert identity(tmp_path / "third") is None
