"""Requests and orders of containers that are never made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autotuner.launchers.base import LaunchRequest
from autotuner.spec.launching import DockerSettings
from autotuner.spec.server import CpuPlan, Footprint, Model, ServerConfig
from autotuner.supervision.lease import Lease

LEASE = "0123456789abcdef"


@pytest.fixture
def make_request(tmp_path: Path) -> Callable[..., LaunchRequest]:
    """A request; what is no setting of Docker changes the request itself."""
    root = tmp_path / "leases"
    folder = root / "e1-a2-x"
    folder.mkdir(parents=True)
    (tmp_path / "model").mkdir()
    docker_names = set(DockerSettings.__dataclass_fields__)

    def make(*, model: str | None = None, flags=None, cpus=(), **changes: object) -> LaunchRequest:
        docker = {n: changes.pop(n) for n in list(changes) if n in docker_names}
        settings = replace(DockerSettings(image="an/image:1"), **docker)
        path = model or str(tmp_path / "model")
        server = ServerConfig(
            "sim", Model(path, path), flags or {}, launcher="docker", launch=settings
        )
        request = LaunchRequest(
            attempt_id="e1-a2",
            study_id="5tudy",
            served_name="ours",
            server=server,
            footprint=Footprint(0, cpus=CpuPlan(server=tuple(cpus))),
            gpu_ids=(),
            command=lambda server, host, port: ["program", "--host", host, "--port", str(port)],
            environment={},
            variables={"GREETING": "hello"},
            lease=Lease("e1-a2", "5tudy", LEASE, "boot", "namespace", folder),
            stop_s=5.0,
        )
        return replace(request, **changes)

    return make
