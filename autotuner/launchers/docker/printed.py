"""What a program of an image prints, in a container of its own that lives no longer than that."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from docker.errors import APIError

from autotuner.errors import LaunchError
from autotuner.launchers.docker.container import docker_settings
from autotuner.launchers.docker.daemon import LOST, DockerFaultError, connected
from autotuner.launchers.docker.images import find_image
from autotuner.spec.launching import DockerSettings
from autotuner.spec.server import ServerConfig

__all__ = ["image_program", "printed_in_container"]

_LABEL = "autotuner.printed"
_FORGOTTEN_S = 600.0
_NOT_RUN = 126
"""From here on: it cannot be run, is not there, or was ended by a signal."""
_NOT_TO_BE_HAD = (LaunchError, DockerFaultError, APIError, *LOST)


def image_program(server: ServerConfig, program: str) -> str | None:
    """What tells the program from another one; None where the image is not on this node."""
    try:
        settings = docker_settings(server)
        with connected(settings.daemon) as client:
            found = find_image(client, str(settings.image))
    except _NOT_TO_BE_HAD:
        return None
    return None if found is None else f"{found['Id']} {settings.mounts} {program}"


def printed_in_container(
    server: ServerConfig,
    command: Sequence[str],
    variables: Mapping[str, str],
    *,
    timeout_s: float,
) -> str | None:
    """As `Launcher.printed_by`. The container gets no network and no GPU, and is removed."""
    try:
        settings = docker_settings(server)
        with connected(settings.daemon) as client:
            _clear(client)
            made = client.api.create_container_from_config(_config(settings, command, variables))
            return _output(client, made["Id"], timeout_s)
    except _NOT_TO_BE_HAD:
        return None


def _output(client: Any, container: str, timeout_s: float) -> str | None:
    try:
        client.api.start(container)
        status: int = client.api.wait(container, timeout=timeout_s)["StatusCode"]
        # Read in one piece, at the end: of a stream that breaks off nobody can tell.
        said: bytes = client.api.logs(container, stdout=True, stderr=False)
    finally:
        with suppress(APIError, *LOST):
            client.api.remove_container(container, force=True)
    return said.decode(errors="replace") if status < _NOT_RUN else None


def _clear(client: Any) -> None:
    """Remove what the dead have left; whoever lives removes its own within minutes."""
    for left in client.api.containers(all=True, filters={"label": _LABEL}):
        if time.time() - left["Created"] > _FORGOTTEN_S:
            client.api.remove_container(left["Id"], force=True)


def _config(
    settings: DockerSettings, command: Sequence[str], variables: Mapping[str, str]
) -> dict[str, Any]:
    program, *arguments = command
    # Where NVIDIA's runtime is the default one, images that ask for all GPUs get them.
    given = {**variables, "NVIDIA_VISIBLE_DEVICES": "void"}
    config: dict[str, Any] = {
        "Image": settings.image,
        "Entrypoint": [program],
        "Cmd": arguments,
        "Env": [f"{name}={value}" for name, value in given.items()],
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": {_LABEL: ""},
        "HostConfig": {
            "NetworkMode": "none",
            "Init": True,
            "Mounts": [
                {"Type": "bind", "Source": m.source, "Target": m.target, "ReadOnly": True}
                for m in settings.mounts
            ],
        },
    }
    if settings.user is not None:
        config["User"] = settings.user
    return config
