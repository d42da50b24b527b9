"""What an attempt may rely on, whichever launcher brings its server up, and what Docker adds."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest
from dockerd.daemon import Daemon, client_of, private_daemon, why_no_private_daemon
from dockerd.host_image import IMAGE, MOUNTS, make_host_image

import autotuner
from autotuner.bench.chat_client import served_models
from autotuner.engines.registry import load_engine
from autotuner.errors import LaunchError
from autotuner.launchers.base import LaunchRequest
from autotuner.launchers.docker import printed
from autotuner.launchers.docker.container import container_name
from autotuner.launchers.docker.labels import LEASE_LABEL
from autotuner.launchers.registry import load_launcher
from autotuner.node.compile_cache import CACHE_VARIABLE, held_compile_cache
from autotuner.node.cpu_meter import CpuMeter
from autotuner.node.known_flags import look_at_flags
from autotuner.spec.experiment import FailureKind
from autotuner.spec.launching import DockerSettings, Mount
from autotuner.spec.server import CpuPlan, Footprint, Model, ServerConfig
from autotuner.supervision.environment import clean_environment
from autotuner.supervision.lease import held_lease
from autotuner.supervision.sweep import sweep
from autotuner.version import __version__

SETTINGS = DockerSettings(image=IMAGE, pull="never", mounts=MOUNTS, shm_gib=0.1)
STUBBORN = """\
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
while True:
    time.sleep(1)
"""
IN_ORDER = """\
import signal, sys, time
def end(*_):
    print("the last words", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
while True:
    time.sleep(1)
"""
CRASH = """\
import sys
for number in range(20000):
    print("line", number)
print("the last words", file=sys.stderr)
sys.exit(7)
"""
BURN = """\
import os, sys, time
go = sys.argv[2]
print("up", flush=True)
while not os.path.exists(go):
    time.sleep(0.02)
for lives in (False, True):
    if os.fork() == 0:
        while time.process_time() < 0.4:
            pass
        print("burnt", flush=True)
        if lives:
            time.sleep(3600)
        os._exit(0)
time.sleep(3600)
"""
OWNER = """\
import sys, time
sys.path.insert(0, sys.argv[1])
from test_launchers import own
own(sys.argv[2])
"""


@dataclass
class Subject:
    """A launcher, and the servers of this test."""

    launcher: str
    daemon: Daemon | None
    folder: Path
    leases: ExitStack = field(default_factory=ExitStack)
    mark: str = field(default_factory=lambda: f"mark-{uuid.uuid4().hex[:12]}")
    servers: list = field(default_factory=list)

    @property
    def is_docker(self):
        return self.launcher == "docker"

    def config(self, **docker):
        launch = None
        if self.daemon is not None:
            launch = replace(SETTINGS, **{"daemon": self.daemon.address, **docker})
        model = Model(str(self.folder), str(self.folder))
        flags = {"time-scale": 0.1}
        return ServerConfig(
            "sim", model, flags, {}, sys.executable, launcher=self.launcher, launch=launch
        )

    def request(self, code=None, *, lease=None, stop_s=10.0, gpus=(), cpus=(), node=None, **docker):
        """Of the simulated server, or of a Python program."""
        if lease is None:
            lease = self.leases.enter_context(held_lease(f"{uuid.uuid4().hex[:6]}-a1", "study"))
        variables = {"GREETING": "hello", "PYTHONUNBUFFERED": "1"}

        def command(server, host, port):
            if code is not None:
                return [sys.executable, "-c", code, self.mark, str(self.folder / "go")]
            sim = load_engine("sim")
            return sim.command(server, host=host, port=port, served_name=self.mark)

        return LaunchRequest(
            attempt_id=lease.attempt_id,
            study_id=lease.study_id,
            served_name=self.mark,
            server=self.config(**docker),
            footprint=Footprint(len(gpus), cpus=CpuPlan(server=cpus)),
            gpu_ids=tuple(gpus),
            command=command,
            environment=clean_environment(add={"AUTOTUNER_LEASE": lease.token, **variables})
            | (node or {}),
            variables=variables,
            lease=lease,
            stop_s=stop_s,
        )

    def start(self, *arguments, **options):
        return self.launch(self.request(*arguments, **options))

    def launch(self, request):
        self.servers.append(load_launcher(self.launcher).start(request))
        return self.servers[-1]

    def containers(self, **labels):
        if self.daemon is None:
            return []
        wanted = [f"{name.replace('_', '.')}={value}" for name, value in labels.items()]
        with client_of(self.daemon.address) as client:
            found = client.api.containers(all=True, filters={"label": wanted or [LEASE_LABEL]})
        return [c for c in found if str(self.folder) in c["Labels"]["autotuner.folder"]]

    def processes(self):
        """Of the servers, in containers too; not their supervisors and keepers."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or ()
            if self.mark in words and not any("supervisor.py" in word for word in words):
                found.append(process)
        return found

    def nothing_left(self):
        return not self.processes() and not self.containers()


def serves(server, name):
    try:
        return server.url is not None and name in served_models(server.url, timeout_s=5.0)
    except OSError:
        return False


def own(order):
    """Run in a process of its own: hold a lease, have a server, until killed."""
    plan = json.loads(order)
    daemon = Daemon(plan["daemon"]) if plan["daemon"] else None
    subject = Subject(plan["launcher"], daemon, Path(plan["folder"]), mark=plan["mark"])
    server = subject.start(stop_s=600.0)
    while True:
        if server.exit is not None:
            print(server.log_tail(), flush=True)
            return
        if serves(server, subject.mark):
            break
    print("up", flush=True)
    sys.stdin.read()


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def subject(request, tmp_path, monkeypatch):
    daemon = request.getfixturevalue("docker_daemon") if request.param == "docker" else None
    yield from _subject(request.param, daemon, monkeypatch)


@pytest.fixture
def docker_subject(docker_daemon, monkeypatch):
    yield from _subject("docker", docker_daemon, monkeypatch)


def _subject(launcher, daemon, monkeypatch):
    # Leases of its own, which no other sweep sees; short, since sockets' paths are.
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    subject = Subject(launcher, daemon, folder)
    try:
        yield subject
        for server in subject.servers:
            server.stop(hurry=True)
        subject.leases.close()
        assert subject.nothing_left()
    finally:
        for process in subject.processes():
            process.kill()
        for container in subject.containers():
            with client_of(daemon.address) as client:
                client.api.remove_container(container["Id"], force=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def owner(subject):
    """A process that has a server of the subject's, and can be killed."""
    started = []

    def start():
        order = {
            "launcher": subject.launcher,
            "daemon": subject.daemon.address if subject.daemon else None,
            "folder": str(subject.folder),
            "mark": subject.mark,
        }
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(_python_path())}
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(Path(__file__).parent), json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        started.append(process)
        assert process.stdout.readline() == "up\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _python_path():
    return [str(Path(__file__).parents[1]), str(Path(autotuner.__file__).parents[1])]


def test_it_becomes_ready_under_its_name_and_stops_without_a_trace(subject, wait_until):
    server = subject.start()
    assert wait_until(lambda: serves(server, subject.mark) or server.exit), server.log_tail()
    assert server.url.startswith("http://127.0.0.1:")
    assert server.exit is None
    assert server.fault is None
    assert psutil.pid_exists(server.pid)
    assert "simulated server ready" in server.log_tail()
    first = server.stop()
    assert subject.nothing_left()
    assert server.stop() == server.stop(hurry=True) == first == server.exit
    assert first.ended_by == "stopped"


def test_the_log_holds_all_that_it_said_and_its_exit_status_is_its_own(subject, wait_until):
    server = subject.start(CRASH)
    assert wait_until(lambda: server.exit)
    assert (server.exit.returncode, server.exit.ended_by) == (7, "exited")
    log = (server._process if not subject.is_docker else server._keeper).log_path.read_text()
    lines = log.splitlines()
    assert sorted(lines) == sorted([*(f"line {n}" for n in range(20000)), "the last words"])
    assert server.fault is None
    assert subject.nothing_left()


def test_it_may_end_in_order(subject, wait_until):
    server = subject.start(IN_ORDER)
    assert wait_until(lambda: "up" in server.log_tail())
    server.stop()
    assert server.log_tail().splitlines() == ["up", "the last words"]
    assert server.exit.returncode == 0


@pytest.mark.parametrize("hurry", [False, True])
def test_one_that_ignores_the_polite_way_is_killed(subject, wait_until, hurry):
    server = subject.start(STUBBORN, stop_s=600.0 if hurry else 1.0)
    assert wait_until(lambda: "up" in server.log_tail())
    assert server.stop(hurry=hurry).returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert subject.nothing_left()


def test_a_signal_that_it_does_not_handle_ends_it(subject, wait_until):
    """As process 1 of a container it would not."""
    server = subject.start("import time; print('up'); time.sleep(3600)", stop_s=600.0)
    assert wait_until(lambda: "up" in server.log_tail())
    assert server.stop().returncode in (-signal.SIGTERM, 128 + signal.SIGTERM)


def test_it_gets_the_variables_of_the_study(subject, wait_until):
    server = subject.start("import os; print(os.environ['GREETING'])")
    assert wait_until(lambda: server.exit)
    assert server.log_tail() == "hello\n"


def test_a_question_is_answered_where_the_server_runs(subject, wait_until):
    server = subject.start()
    version = load_engine("sim").version_command(subject.config())
    assert server.ask(version) == __version__
    assert server.ask([sys.executable, "-c", "raise SystemExit(1)"]) is None
    assert server.ask(["/no/such/program"]) is None
    server.stop()
    assert subject.is_docker is (server.ask(version) is None)


class TestPrinted:
    """What a program prints where servers run, without one."""

    def printed(self, subject, code, *, timeout_s=120.0, **environment):
        return load_launcher(subject.launcher).printed_by(
            subject.config(),
            [sys.executable, "-c", code, subject.mark],
            environment,
            timeout_s=timeout_s,
        )

    def test_all_of_the_standard_output_is_read_and_nothing_is_left(self, subject, wait_until):
        code = (
            "import os, sys; print(os.environ['GREETING']); print('err', file=sys.stderr); "
            "print('x' * 300_000); sys.exit(3)"
        )
        said = self.printed(subject, code, GREETING="hello")
        assert said == "hello\n" + "x" * 300_000 + "\n"
        assert wait_until(subject.nothing_left)
        assert all_containers(subject) == []

    def test_one_that_takes_too_long_is_ended(self, subject, wait_until):
        assert self.printed(subject, "import time; time.sleep(3600)", timeout_s=3.0) is None
        assert wait_until(subject.nothing_left)
        assert all_containers(subject) == []

    def test_what_one_says_that_is_killed_is_not_believed(self, subject):
        code = "import os, signal; print('half', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
        assert self.printed(subject, code) is None

    def test_a_program_that_is_not_there_prints_nothing(self, subject):
        launcher = load_launcher(subject.launcher)
        said = launcher.printed_by(subject.config(), ["no-such-program"], {}, timeout_s=60.0)
        assert said is None
        assert all_containers(subject) == []

    def test_programs_are_told_apart(self, subject):
        launcher = load_launcher(subject.launcher)
        first, other = ("/bin/true", "/bin/false")
        names = [launcher.identity(subject.config(), name, {}) for name in (first, first, other)]
        assert names[0] == names[1] != names[2]

    def test_the_flags_of_a_study_are_held_against_its_engines_own(self, subject, monkeypatch):
        monkeypatch.setenv(CACHE_VARIABLE, "off")
        look = look_at_flags(subject.config(), {"max-num-sequences": (4,), "max-num-seqs": (4,)})
        assert look.unchecked is None
        assert [fault.flag for fault in look.faults] == ["max-num-sequences"]


def test_what_the_dead_left_of_a_question_goes_with_the_next_one(docker_subject, monkeypatch):
    def ask():
        return docker_launcher.printed_by(
            docker_subject.config(), [sys.executable, "-c", "print(1)"], {}, timeout_s=120.0
        )

    docker_launcher = load_launcher("docker")
    monkeypatch.setattr(printed, "_output", lambda client, container, timeout_s: None)
    assert ask() is None  # as if it had died here
    assert len(all_containers(docker_subject)) == 1
    monkeypatch.undo()
    assert ask() == "1\n"
    assert len(all_containers(docker_subject)) == 1  # somebody may still be at it
    monkeypatch.setattr(printed, "_FORGOTTEN_S", -60.0)
    assert ask() == "1\n"
    assert all_containers(docker_subject) == []


def all_containers(subject):
    """Those in which a program was to print something."""
    if subject.daemon is None:
        return []
    with client_of(subject.daemon.address) as client:
        return client.api.containers(all=True, filters={"label": printed._LABEL})


def test_what_one_server_compiles_the_next_one_finds(subject, wait_until, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(subject.folder))
    config, vllm = replace(subject.config(), engine="vllm"), load_engine("vllm")
    code = """\
import os, pathlib
graph = pathlib.Path(os.environ["VLLM_CACHE_ROOT"], "graph")
print("warm" if graph.exists() else "cold")
graph.parent.mkdir(exist_ok=True)
graph.touch()
"""

    def logged():
        with held_compile_cache(config, vllm) as cache:
            if cache is None:
                pytest.skip("a cache for containers takes root")
            request = subject.request(code, node=dict(cache.variables))
            variables = {**request.variables, **cache.variables}
            server = subject.launch(replace(request, variables=variables, cache=cache.folder))
            assert wait_until(lambda: server.exit)
            assert server.exit.returncode == 0, server.log_tail()
            cache.keep()
        return server.log_tail()

    assert (logged(), logged()) == ("cold\n", "warm\n")


def test_it_runs_on_the_cpus_of_the_plan(subject, wait_until):
    (cpu, *_) = sorted(os.sched_getaffinity(0))
    server = subject.start("import os; print(os.sched_getaffinity(0))", cpus=(cpu,))
    assert wait_until(lambda: server.exit)
    assert server.log_tail() == f"{{{cpu}}}\n"


def test_what_its_processes_use_of_the_cpus_is_the_attempts_own(subject, wait_until):
    """Also in a container, whose processes are none of ours, and of a process that has ended."""
    request = subject.request(BURN)
    server = subject.launch(request)
    assert wait_until(lambda: "up" in server.log_tail() and server.pid is not None)
    used, begun = CpuMeter(request.folder, lambda: server.pid).watch(), time.monotonic()
    (subject.folder / "go").touch()
    assert wait_until(lambda: server.log_tail().count("burnt") == 2)
    time.sleep(0.6)  # on idle cores it burns for less than can be metered
    cpus, ended = used(), time.monotonic()
    assert cpus.unknown is None
    assert cpus.own * (ended - begun) >= 0.8 - 0.1


def test_it_dies_with_its_owner(subject, owner, wait_until):
    process = owner()
    assert subject.processes()
    process.kill()
    assert wait_until(subject.nothing_left)


def test_one_whose_keepers_were_killed_too_is_swept_up(subject, owner, wait_until):
    process = owner()
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.suspend()  # or one of them acts before it is killed itself
    for member in family:
        member.kill()
    process.wait()
    if subject.is_docker:
        assert subject.processes()
        assert subject.containers()
    assert wait_until(lambda: sweep() or subject.nothing_left())
    assert subject.nothing_left()
    assert not list((subject.folder / f"autotuner-{os.getuid()}").glob("*-a1-*"))


@pytest.mark.docker
class TestContainers:
    """What only a container can do, or fail at."""

    def failed(self, subject, wait_until, request):
        """The fault of a server that cannot start, of which nothing is left."""
        server = subject.launch(request)
        assert wait_until(lambda: server.exit)
        assert subject.nothing_left()
        assert server.exit.returncode == 125
        fault = server.fault
        assert fault.message in server.log_tail()
        server.stop()
        return fault

    def test_it_gets_nothing_else_of_the_nodes_environment(self, docker_subject, wait_until):
        request = docker_subject.request(
            "import os; print(*sorted(os.environ), sep='\\n')",
            node={"HF_TOKEN": "s3cret-token", "NODES_OWN": "1"},
        )
        server = docker_subject.launch(request)
        assert wait_until(lambda: server.exit)
        names = set(server.log_tail().split())
        assert names <= {
            *("AUTOTUNER_LEASE", "GREETING", "HF_TOKEN", "HOME", "HOSTNAME", "LC_CTYPE", "PATH"),
            *("NVIDIA_VISIBLE_DEVICES", "PWD", "PYTHONUNBUFFERED"),
        }
        assert {"GREETING", "HF_TOKEN", "AUTOTUNER_LEASE"} <= names

    def test_secrets_are_on_no_command_line_and_in_no_open_file(self, docker_subject, wait_until):
        request = docker_subject.request(IN_ORDER, node={"HF_TOKEN": "s3cret-token"})
        server = docker_subject.launch(request)
        assert wait_until(lambda: "up" in server.log_tail())
        words = [w for p in psutil.process_iter(["cmdline"]) for w in p.info["cmdline"] or ()]
        assert not any("s3cret-token" in word for word in words)
        holders = [
            path
            for path in request.folder.iterdir()
            if path.is_file() and "s3cret-token" in path.read_text()
        ]
        assert [path.name for path in holders] == ["keeper.order.json"]
        assert holders[0].stat().st_mode & 0o777 == 0o600

    def test_rows_say_which_image_it_was(self, docker_subject, wait_until):
        server = docker_subject.start()
        assert wait_until(lambda: server.facts)
        with client_of(docker_subject.daemon.address) as client:
            image = client.images.get(IMAGE).id
        assert server.facts == {"image": IMAGE, "image_id": image}

    def test_the_model_is_mounted_read_only_at_its_own_path(self, docker_subject, wait_until):
        weights = docker_subject.folder / "weights"
        weights.write_text("w")
        code = f"print(open({str(weights)!r}).read()); open({str(weights)!r}, 'w')"
        server = docker_subject.start(code)
        assert wait_until(lambda: server.exit)
        log = server.log_tail()
        assert "w\n" in log
        assert "Read-only file system" in log

    def test_the_hubs_cache_can_be_written(self, docker_subject, wait_until):
        cache = docker_subject.folder / "cache"
        code = "import os, pathlib; pathlib.Path(os.environ['HF_HOME'], 'model').touch()"
        server = docker_subject.start(code, hub_cache=str(cache))
        assert wait_until(lambda: server.exit)
        assert server.exit.returncode == 0, server.log_tail()
        assert (cache / "model").exists()

    def test_its_gpus_are_those_of_the_attempt(self, docker_subject, wait_until):
        if not docker_subject.daemon.gpu_hook:
            pytest.skip("not our own daemon: it may have GPUs of its own, or none")
        server = docker_subject.start(
            "import os; print(os.environ['NVIDIA_VISIBLE_DEVICES'])", gpus=("0", "3")
        )
        assert wait_until(lambda: server.exit)
        assert server.log_tail() == "0,3\n"

    def test_more_memory_than_allowed_is_told_from_a_crash(self, docker_subject, wait_until):
        server = docker_subject.start("b'x' * 2**30", memory_gib=0.0625)
        assert wait_until(lambda: server.exit)
        assert server.fault.kind is FailureKind.OUT_OF_MEMORY_AT_LOAD
        assert "0.0625 GiB" in server.fault.message
        assert docker_subject.nothing_left()

    def test_shared_memory_is_of_the_size_asked_for(self, docker_subject, wait_until):
        code = "import os; s = os.statvfs('/dev/shm'); print(s.f_blocks * s.f_frsize >> 20)"
        server = docker_subject.start(code, shm_gib=0.25)
        assert wait_until(lambda: server.exit)
        assert server.log_tail() == "256\n"

    def test_a_program_that_the_image_lacks(self, docker_subject, wait_until):
        request = docker_subject.request()
        request = replace(request, command=lambda server, host, port: ["no-such-program"])
        server = docker_subject.launch(request)
        assert wait_until(lambda: server.exit)
        assert docker_subject.nothing_left()
        fault = server.fault
        assert fault.kind is FailureKind.LAUNCH_FAILED
        assert "no program no-such-program" in fault.message

    def test_an_image_that_is_not_there(self, docker_subject, wait_until):
        request = docker_subject.request(image="no/such:image")
        fault = self.failed(docker_subject, wait_until, request)
        assert fault.kind is FailureKind.LAUNCH_FAILED
        assert "the image no/such:image is not on this node" in fault.message

    def test_an_image_whose_registry_is_not_reached(self, docker_subject, wait_until):
        request = docker_subject.request(image="127.0.0.1:1/no/such:image", pull="missing")
        fault = self.failed(docker_subject, wait_until, request)
        assert fault.kind is FailureKind.LAUNCH_FAILED
        assert "does not reach its registry" in fault.message

    def test_a_mount_that_is_not_there(self, docker_subject, wait_until):
        mounts = (*MOUNTS, Mount("/no/such", "/no/such"))
        fault = self.failed(docker_subject, wait_until, docker_subject.request(mounts=mounts))
        assert fault.kind is FailureKind.LAUNCH_FAILED
        assert "/no/such is to be mounted" in fault.message

    def test_a_runtime_that_is_not_there(self, docker_subject, wait_until):
        fault = self.failed(docker_subject, wait_until, docker_subject.request(runtime="nvidia"))
        assert fault.kind is FailureKind.LAUNCH_FAILED
        assert "docker.runtime = nvidia" in fault.message

    def test_a_user_that_is_not_there(self, docker_subject, wait_until):
        fault = self.failed(docker_subject, wait_until, docker_subject.request(user="nosuch"))
        assert fault.kind is FailureKind.LAUNCH_FAILED
        assert "docker.user = nosuch" in fault.message

    def test_a_name_that_is_taken(self, docker_subject, wait_until):
        request = docker_subject.request()
        name = container_name(request)
        with client_of(docker_subject.daemon.address) as client:
            client.api.create_container(IMAGE, name=name)
            try:
                fault = self.failed(docker_subject, wait_until, request)
            finally:
                client.api.remove_container(name)  # is still there: it is none of ours
        assert fault.kind is FailureKind.LAUNCH_FAILED
        assert f"docker rm --force {name}" in fault.message

    def test_a_daemon_that_is_not_there(self, docker_subject, wait_until):
        request = docker_subject.request(daemon="unix:///no/such.sock")
        fault = self.failed(docker_subject, wait_until, request)
        assert fault.kind is FailureKind.LAUNCH_FAILED
        assert "there is no such socket" in fault.message

    def test_a_daemon_of_another_machine_is_refused(self, docker_subject, wait_until):
        request = docker_subject.request(daemon="tcp://192.0.2.1:2375")
        fault = self.failed(docker_subject, wait_until, request)
        assert "that node's own daemon" in fault.message

    def test_a_study_without_an_image_is_refused_at_once(self, docker_subject):
        with pytest.raises(LaunchError, match=r"engine\.image"):
            docker_subject.start(image=None)

    def test_what_the_dead_have_left_goes_and_the_living_stay(
        self, docker_subject, docker_daemon, wait_until
    ):
        alive = docker_subject.start()
        assert wait_until(lambda: serves(alive, docker_subject.mark))
        request = docker_subject.request()
        lost = docker_subject.launch(request)
        assert wait_until(lambda: lost.url is not None)
        keeper = psutil.Process(lost._keeper._supervisor.pid)
        family = [keeper, *keeper.children(recursive=True)]
        for member in family:
            member.suspend()
        for member in family:
            member.kill()
        lost._keeper.stop()
        shutil.rmtree(request.folder)  # no sweep finds it any more
        assert len(docker_subject.containers()) == 2
        docker_subject.servers.remove(lost)
        third = docker_subject.start()
        assert wait_until(lambda: third.url is not None)
        assert docker_subject.containers(autotuner_lease=request.lease.token) == []
        assert len(docker_subject.containers()) == 2
        assert alive.exit is None

    def test_where_there_is_no_gpu_runtime_its_sentence_says_so(self, docker_subject, wait_until):
        with own_daemon(docker_subject):
            request = docker_subject.request(gpus=("0",))
            fault = self.failed(docker_subject, wait_until, request)
            assert fault.kind is FailureKind.LAUNCH_FAILED
            assert "has no NVIDIA runtime" in fault.message

    def test_it_outlives_a_daemon_that_is_started_anew(self, docker_subject, wait_until):
        with own_daemon(docker_subject, "--live-restore") as daemon:
            code = "import time\nfor n in range(10**6): print(n); time.sleep(0.05)"
            server = docker_subject.start(code)
            assert wait_until(lambda: "10\n" in server.log_tail())
            daemon.end()
            seen = int(server.log_tail().split()[-1])
            daemon.start()
            assert wait_until(lambda: f"\n{seen + 40}\n" in server.log_tail())
            assert server.exit is None
            assert set(map(str, range(seen + 40))) <= set(server.log_tail().split())
            server.stop()
            assert docker_subject.nothing_left()


@contextmanager
def own_daemon(subject, *arguments):
    """Another daemon for the rest of a block, without a stand-in for the GPUs' runtime."""
    if reason := why_no_private_daemon():
        pytest.skip(reason)
    before = subject.daemon
    with private_daemon(*arguments, gpu_hook=False) as daemon:
        with client_of(daemon.address) as client:
            make_host_image(client)
        subject.daemon = daemon
        try:
            yield daemon
            for server in subject.servers:
                server.stop(hurry=True)
            assert subject.nothing_left()
        finally:
            subject.daemon = before
