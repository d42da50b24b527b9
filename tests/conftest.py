"""Small studies of the simulated engine, in Python, and a check that no process is left of them."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

# Folders of tests share modules: `dockerd`, for one.
sys.path.insert(0, str(Path(__file__).parent))

from dockerd.daemon import Daemon, client_of, private_daemon, why_no_private_daemon
from dockerd.host_image import make_host_image
from kubernetes_double.double import KubernetesDouble, kubernetes

from autotuner.execution.base import Executor
from autotuner.node.events import AttemptOrder
from autotuner.planning import plan
from autotuner.spec.experiment import Attempt, Timeouts
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint, Direction, Objective, Over
from autotuner.spec.server import CpuPlan, Model, Value
from autotuner.spec.study import Axis, BenchConfig, EngineConfig, Resources, StudySpec
from autotuner.spec.workload import StopRule, Workload

# How busy the machine is decides about no test.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

AT_ONCE: Mapping[str, Value] = {"time-scale": 0.05}
THROUGHPUT = Objective(
    "maximize_throughput", "output_throughput_tok_s", Direction.MAXIMIZE, over=Over.BEST
)
PATIENCE_S = 60.0
"""An upper bound on waits that end as soon as something has happened; no test takes it."""


def chat(
    name: str = "chat",
    *,
    concurrency: Sequence[int] = (1, 2),
    seconds: float = 3600.0,
    requests: int | None = 3,
    warmup_requests: int = 1,
    repeats: int = 1,
) -> Workload:
    return Workload(
        name,
        "D(16,8)",
        tuple(concurrency),
        StopRule(seconds, requests),
        warmup_requests=warmup_requests,
        repeats=repeats,
    )


def spec(
    axes: Mapping[str, Sequence[Value]] | None = None,
    *,
    engine: str = "sim",
    flags: Mapping[str, Value] | None = None,
    environment: Mapping[str, str] | None = None,
    executable: str | None = None,
    command: Sequence[str] = (),
    gpus: int | None = 0,
    cpus: CpuPlan | None = None,
    objective: Objective = THROUGHPUT,
    constraints: Sequence[Constraint] = (),
    baseline: Mapping[str, Value] | None = None,
    order_seed: int | None = None,
    finalist_servers: int = 1,
    max_repeats: int | None = None,
    **changes: object,
) -> StudySpec:
    """A study; a ``judging`` among the changes replaces ``objective`` and ``constraints``.

    Without a baseline, without repeats and in plan order unless asked otherwise, so that a test
    knows which attempts there are, and which comes first.
    """
    fields: dict[str, object] = {
        "name": "tiny",
        "model": Model("/models/tiny", "/models/tiny"),
        "axes": tuple(
            Axis(name, tuple({name: value} for value in values))
            for name, values in (axes or {}).items()
        ),
        "workloads": (chat(),),
        "judging": Judging(
            objective,
            tuple(constraints),
            finalist_servers=finalist_servers,
            max_repeats=max_repeats,
        ),
        "baseline": baseline,
        "order_seed": order_seed,
        "bench": BenchConfig("closed-loop"),
        "resources": Resources(gpus, cpus or CpuPlan()),
        "timeouts": Timeouts(start_s=3600.0, warmup_s=3600.0, level_grace_s=10.0, stop_s=5.0),
    }
    shared = EngineConfig(
        engine,
        executable,
        {**(AT_ONCE if engine == "sim" else {}), **(flags or {})},
        environment or {},
        tuple(command),
    )
    return StudySpec(engine=shared, **{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def make_workload() -> Callable[..., Workload]:
    return chat


@pytest.fixture
def make_spec(tmp_path: Path) -> Callable[..., StudySpec]:
    return lambda *axes, **changes: spec(*axes, **{"output": tmp_path / "results", **changes})


def processes_of(text: str) -> list[psutil.Process]:
    """Live processes whose command line holds the text."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(text in word for word in process.info["cmdline"] or ()):
            found.append(process)
    return found


@pytest.fixture
def find_processes() -> Callable[[str], list[psutil.Process]]:
    return processes_of


def eventually(condition: Callable[[], object]) -> bool:
    """Whether the condition comes true; waits no longer than it takes."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object]], bool]:
    return eventually


@pytest.fixture
def make_order() -> Iterator[Callable[..., AttemptOrder]]:
    """Build the first attempt of a study of one experiment; none may leave a process behind.

    Each has a study id of its own, so that its served name finds its processes alone.
    """
    made: list[AttemptOrder] = []

    def build(**changes: object) -> AttemptOrder:
        planned = plan(spec(**changes))  # type: ignore[arg-type]
        attempt = Attempt(uuid.uuid4().hex[:8], planned.experiments[0], 1)
        made.append(AttemptOrder(attempt, planned.spec.bench, planned.spec.timeouts))
        return made[-1]

    yield build
    # Waited for: whoever kills an attempt does not wait until its server is gone.
    assert eventually(lambda: not any(processes_of(order.attempt.served_name) for order in made))


@dataclass(frozen=True)
class RayStart:
    """A Ray on this machine, and the signal handlers around its start."""

    executor: Executor
    handlers_before: Mapping[int, object]
    handlers_after: Mapping[int, object]


@pytest.fixture(scope="session")
def ray_start() -> Iterator[RayStart]:
    """Started once for all tests: it takes seconds."""
    from autotuner.execution.on_ray import RayExecutor

    numbers = (signal.SIGINT, signal.SIGTERM)
    original = {number: signal.getsignal(number) for number in numbers}
    before = {number: lambda *_: None for number in numbers}
    for number, handler in before.items():
        signal.signal(number, handler)
    try:
        executor = RayExecutor()
        after = {number: signal.getsignal(number) for number in numbers}
    finally:
        for number, kept in original.items():
            signal.signal(number, kept)
    with executor:
        yield RayStart(executor, before, after)


@pytest.fixture(scope="session")
def ray_executor(ray_start: RayStart) -> Executor:
    return ray_start.executor


@pytest.fixture(scope="session")
def docker_daemon() -> Iterator[Daemon]:
    """A real Docker daemon that has the image of this machine."""
    if address := os.environ.get("DOCKER_HOST"):
        with client_of(address) as client:
            make_host_image(client)
        yield Daemon(address)
        return
    if reason := why_no_private_daemon():
        pytest.skip(f"no DOCKER_HOST, and {reason}")
    with ExitStack() as stack:
        try:
            daemon = stack.enter_context(private_daemon(gpu_hook=True))
        except RuntimeError as error:  # of a container without the rights, for one
            pytest.skip(f"no DOCKER_HOST, and none can be started here: {error}")
        with client_of(daemon.address) as client:
            make_host_image(client)
        yield daemon


@pytest.fixture
def kubernetes_double() -> Iterator[KubernetesDouble]:
    """An API server of Kubernetes in which nothing happens by itself."""
    with kubernetes() as double:
        yield double
