"""What an attempt may rely on where its server runs in a Kubernetes cluster, with OME and without.

The cluster is the API double, whose kubelet runs the servers as processes on loopback.
"""

import json
import os
import subprocess
import sys
import tempfile
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest
from kubernetes_double.double import KubernetesDouble
from kubernetes_double.ome_controller import OmeController, ome_controller

import autotuner
from autotuner.bench.chat_client import served_models
from autotuner.engines.registry import load_engine
from autotuner.errors import LaunchError
from autotuner.execution.local import LocalExecutor
from autotuner.launchers.base import LaunchRequest
from autotuner.launchers.kubernetes.launcher import KubernetesLauncher
from autotuner.launchers.kubernetes.ome import OmeLauncher
from autotuner.spec.experiment import FailureKind
from autotuner.spec.launching import OmeSettings, PodSettings
from autotuner.spec.server import Footprint, Model, ServerConfig
from autotuner.spec.study_file import load_study
from autotuner.study import run
from autotuner.supervision.environment import clean_environment
from autotuner.supervision.lease import held_lease
from autotuner.supervision.sweep import sweep

LAUNCHERS = {"kubernetes": KubernetesLauncher, "ome": OmeLauncher}
KINDS = ("leases", "secrets", "pods", "services", "servingruntimes", "inferenceservices")
MODEL = "/models/tiny"
UP = "import time; print('up', flush=True); time.sleep(3600)"
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
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + UP
CRASH = """\
import sys
for number in range(2000):
    print("line", number)
print("the last words $HOME $(GREETING) {{x}}", file=sys.stderr)
sys.exit(7)
"""
OWNER = """\
import sys
sys.path.insert(0, sys.argv[1])
from test_kubernetes_launchers import own
own(sys.argv[2])
"""


@dataclass
class Subject:
    """A launcher, and the servers of this test."""

    launcher: str
    folder: Path
    kubeconfig: str
    double: KubernetesDouble | None = None
    controller: OmeController | None = None
    leases: ExitStack = field(default_factory=ExitStack)
    mark: str = field(default_factory=lambda: f"mark-{uuid.uuid4().hex[:12]}")
    servers: list = field(default_factory=list)

    def request(self, code=None, *, stop_s=10.0, gpus=0, flags=None, variables=None, **pod):
        """Of the simulated server, or of a Python program."""
        lease = self.leases.enter_context(held_lease(f"{uuid.uuid4().hex[:6]}-a1", "study"))
        settings = replace(
            PodSettings(image="an/image:1", kubeconfig=self.kubeconfig, shm_gib=0.1),
            **{name: pod.pop(name) for name in list(pod) if name in PodSettings.__slots__},
        )
        launch = settings
        if self.launcher == "ome":
            launch = OmeSettings(**{"base_model": "tiny", "pod": settings, **pod})
        server = ServerConfig(
            "sim",
            Model(MODEL, MODEL),
            {"time-scale": 0.1, **(flags or {})},
            {},
            sys.executable,
            launcher=self.launcher,
            launch=launch,
        )
        variables = {"GREETING": "hello", "PYTHONUNBUFFERED": "1", **(variables or {})}

        def command(server, host, port):
            if code is not None:
                return [sys.executable, "-c", code, self.mark]
            sim = load_engine("sim")
            return sim.command(server, host=host, port=port, served_name=self.mark)

        return LaunchRequest(
            attempt_id=lease.attempt_id,
            study_id=lease.study_id,
            served_name=self.mark,
            server=server,
            footprint=Footprint(gpus, quota="kubernetes_gpus"),
            gpu_ids=(),
            command=command,
            environment=clean_environment(add=variables),
            variables=variables,
            lease=lease,
            stop_s=stop_s,
        )

    def start(self, *arguments, **options):
        return self.launch(self.request(*arguments, **options))

    def launch(self, request):
        self.servers.append(LAUNCHERS[self.launcher]().start(request))
        return self.servers[-1]

    def objects(self):
        return [
            f"{kind}/{each['metadata']['name']}"
            for kind in KINDS
            for each in self.double.objects(kind)
        ]

    def processes(self):
        """Of the servers, in pods; not their supervisors and keepers."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if self.mark in (process.info["cmdline"] or ()):
                found.append(process)
        return found

    def nothing_left(self):
        return not self.processes() and not self.objects()


def serves(server, name):
    try:
        return server.url is not None and name in served_models(server.url, timeout_s=5.0)
    except OSError:
        return False


def own(order):
    """Run in a process of its own: hold a lease, have a server, until killed."""
    plan = json.loads(order)
    subject = Subject(plan["launcher"], Path(plan["folder"]), plan["kubeconfig"])
    subject.mark = plan["mark"]
    server = subject.start(stop_s=600.0)
    while not serves(server, subject.mark):
        if server.exit is not None:
            print(server.log_tail(), flush=True)
            return
    print("up", flush=True)
    sys.stdin.read()


@pytest.fixture(params=LAUNCHERS)
def subject(request, kubernetes_double, monkeypatch, wait_until):
    # Leases of its own, which no other sweep sees; short, since sockets' paths are.
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", None)
        kubernetes_double.add(
            "clusterbasemodels",
            {"metadata": {"name": "tiny"}, "spec": {"storage": {"path": MODEL}}},
        )
        kubeconfig = str(kubernetes_double.kubeconfig(folder / "kubeconfig"))
        with ome_controller(kubernetes_double, start_command=True, deletion_s=0.1) as controller:
            subject = Subject(request.param, folder, kubeconfig, kubernetes_double, controller)
            try:
                yield subject
            finally:
                kubernetes_double.faults.clear()
                kubernetes_double.faults.come_back()
                for server in subject.servers:
                    server.stop(hurry=True)
                subject.leases.close()
            assert wait_until(subject.nothing_left), subject.objects()


@pytest.fixture
def owner(subject):
    """A process that has a server of the subject's, and can be killed."""
    started = []

    def start():
        order = {name: getattr(subject, name) for name in ("launcher", "kubeconfig", "mark")}
        paths = [Path(__file__).parents[1], Path(autotuner.__file__).parents[1]]
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", OWNER, str(Path(__file__).parent)),
                json.dumps({**order, "folder": str(subject.folder)}),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        )
        started.append(process)
        assert process.stdout.readline() == "up\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def log_of(server):
    return server._keeper.log_path.read_text()


def test_it_becomes_ready_under_its_name_and_stops_without_a_trace(subject, wait_until):
    server = subject.start()
    assert wait_until(lambda: serves(server, subject.mark) or server.exit), server.log_tail()
    assert server.url.startswith("http://127.77.")
    assert server.exit is None
    assert server.fault is None
    assert server.facts["image"] == "an/image:1"
    assert server.facts["server_node"] == "node-1"
    assert wait_until(lambda: "simulated server ready" in server.log_tail())
    first = server.stop()
    assert subject.nothing_left()
    assert server.stop() == server.stop(hurry=True) == first == server.exit
    assert first.ended_by == "stopped"


def test_the_log_holds_all_that_it_said_and_its_exit_status_is_its_own(subject, wait_until):
    server = subject.start(CRASH)
    assert wait_until(lambda: server.exit)
    assert (server.exit.returncode, server.exit.ended_by) == (7, "exited")
    lines = [line for line in log_of(server).splitlines() if not line.startswith("[autotuner]")]
    wanted = [*(f"line {n}" for n in range(2000)), "the last words $HOME $(GREETING) {{x}}"]
    assert sorted(lines) == sorted(wanted)
    assert subject.nothing_left()


def test_it_may_end_in_order(subject, wait_until):
    server = subject.start(IN_ORDER)
    assert wait_until(lambda: "up" in server.log_tail())
    server.stop()
    assert subject.nothing_left()


@pytest.mark.parametrize("hurry", [False, True])
def test_one_that_ignores_the_polite_way_is_killed(subject, wait_until, hurry):
    server = subject.start(STUBBORN, stop_s=600.0 if hurry else 1.0)
    assert wait_until(lambda: "up" in server.log_tail())
    server.stop(hurry=hurry)
    assert subject.nothing_left()


def test_its_secrets_are_in_a_secret_and_nowhere_else(subject, wait_until):
    code = "import os; print(os.environ['HF_TOKEN'][::-1], os.environ['GREETING'])"
    server = subject.start(code, variables={"HF_TOKEN": "hf_hidden"})
    assert wait_until(lambda: server.exit)
    assert "neddih_fh hello" in server.log_tail()
    asked = [each for each in subject.double.requests if "hf_hidden" in json.dumps(each.body)]
    assert {each.path.split("/")[-2] for each in asked} == {"secrets"}
    assert "hf_hidden" not in (server._files.folder / "keeper.will.json").read_text()
    assert oct(server._files.order_path.stat().st_mode & 0o777) == "0o600"


def test_it_dies_with_its_owner(subject, owner, wait_until):
    process = owner()
    assert subject.processes()
    process.kill()
    assert wait_until(subject.nothing_left), subject.objects()


def test_one_whose_keepers_were_killed_too_is_swept_up(subject, owner, wait_until):
    process = owner()
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.suspend()  # or one of them acts before it is killed itself
    for member in family:
        member.kill()
    process.wait()
    assert subject.processes()
    assert subject.objects()
    assert wait_until(lambda: sweep() or subject.nothing_left())
    assert subject.nothing_left()


def test_what_was_lost_with_its_node_is_removed_by_the_next_attempt(subject, owner, wait_until):
    process = owner()
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.suspend()
    for member in family:
        member.kill()
    process.wait()
    (lost,) = subject.double.objects("leases")
    changes = {"spec": {"renewTime": "2020-01-01T00:00:00.000000Z"}}
    subject.double.patch("leases", "default", lost["metadata"]["name"], changes)
    before = subject.processes()
    server = subject.start(UP)
    assert wait_until(lambda: "up\n" in server.log_tail())
    assert wait_until(lambda: not any(each.is_running() for each in before))
    assert wait_until(lambda: len(subject.double.objects("pods")) == 1), subject.objects()
    server.stop()
    assert subject.nothing_left(), subject.objects()


def test_an_outage_of_the_api_ends_no_server(subject, wait_until):
    server = subject.start()
    assert wait_until(lambda: serves(server, subject.mark))
    subject.double.faults.go_away()
    assert serves(server, subject.mark)
    subject.double.faults.come_back()
    subject.double.faults.cut_watches()
    assert serves(server, subject.mark)
    assert (server.exit, server.fault) == (None, None)
    server.stop()
    assert subject.nothing_left()


def test_a_pod_that_somebody_else_deletes_is_lost(subject, wait_until):
    server = subject.start()
    assert wait_until(lambda: serves(server, subject.mark))
    (pod,) = subject.double.objects("pods")
    subject.double.delete("pods", "default", pod["metadata"]["name"], grace_s=1)
    assert wait_until(lambda: server.exit)
    assert server.fault.kind is FailureKind.SERVER_CRASHED
    assert subject.nothing_left()


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        ("unschedulable", FailureKind.UNSCHEDULABLE, "Insufficient nvidia.com/gpu"),
        ("oom_killed", FailureKind.OUT_OF_MEMORY_AT_LOAD, "want of memory"),
        ("crash_loop", None, None),
    ],
)
def test_what_goes_wrong_in_the_cluster_has_its_own_kind(subject, wait_until, script, kind, said):
    subject.controller.script = script
    server = subject.start(unschedulable_s=1.0)
    assert wait_until(lambda: server.exit)
    if kind is not None:
        assert server.fault.kind is kind
        assert said in server.fault.message
    assert server.exit.returncode != 0
    assert subject.nothing_left()


@pytest.mark.parametrize("subject", ["ome"], indirect=True)
@pytest.mark.parametrize("script", ["blocked", "invalid_spec"])
def test_what_ome_gives_up_is_given_up(subject, wait_until, script):
    subject.controller.script = script
    server = subject.start(UP)
    assert wait_until(lambda: server.exit)
    assert server.fault.kind in (FailureKind.SERVER_CRASHED, FailureKind.LAUNCH_FAILED)
    assert "OME" in server.fault.message
    assert subject.nothing_left()


@pytest.mark.parametrize("subject", ["ome"], indirect=True)
def test_a_base_model_that_is_not_there_is_named(subject, wait_until):
    server = subject.start(base_model="none")
    assert wait_until(lambda: server.exit)
    assert server.fault.kind is FailureKind.MODEL_NOT_FOUND
    assert "ome.base_model = none" in server.fault.message
    assert subject.nothing_left()


def test_a_right_that_is_missing_is_named(subject, wait_until):
    resource = "inferenceservices" if subject.launcher == "ome" else "pods"
    subject.double.faults.forbid("create", resource)
    subject.double.faults.forbid("patch", resource)
    server = subject.start()
    assert wait_until(lambda: server.exit)
    assert server.fault.kind is FailureKind.LAUNCH_FAILED
    assert "cluster/ome/rbac.yaml" in server.fault.message
    assert subject.nothing_left()


def test_a_study_without_an_image_is_refused_at_once(subject):
    with pytest.raises(LaunchError, match=r"engine\.image"):
        subject.start(image=None)


def test_a_kubeconfig_that_is_not_there_is_refused_at_once(subject):
    with pytest.raises(LaunchError, match="no kubeconfig at /no/such"):
        subject.start(kubeconfig="/no/such")


def test_a_study_measures_servers_in_the_cluster(subject):
    base_model = ", base_model: tiny" if subject.launcher == "ome" else ""
    path = subject.folder / "study.yaml"
    path.write_text(f"""\
study: in-a-cluster
engine:
  {{name: sim, executable: {sys.executable}, image: an/image:1, flags: {{time-scale: 0.1}}}}
model: {MODEL}
parameters: {{max-num-seqs: [2, 8]}}
workloads:
  - {{name: chat, scenario: "D(20,10)", concurrency: [2], stop: {{seconds: 20, requests: 6}}}}
objective: maximize_throughput
baseline: false
finalist_servers: 1
resources: {{gpus: 0, cpus: 1}}
bench: closed-loop
launcher: {subject.launcher}
{subject.launcher}: {{kubeconfig: {subject.kubeconfig}{base_model}}}
output: out
""")
    with LocalExecutor(cpus=2, quotas={"kubernetes_gpus": 2}) as executor:
        results = run(load_study(path), executor=executor)
    assert list(results.attempts["outcome"]) == ["completed", "completed"]
    assert set(results.attempts["server_node"]) == {"node-1"}
    assert set(results.attempts["image"]) == {"an/image:1"}
    assert subject.nothing_left()
