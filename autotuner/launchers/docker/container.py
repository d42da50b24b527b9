"""The container of a server: what the daemon is asked to create, as plain JSON."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autotuner.errors import LaunchError
from autotuner.launchers.base import LaunchRequest
from autotuner.launchers.docker.labels import labels_of
from autotuner.launchers.process import free_port
from autotuner.spec.launching import DockerSettings, Mount
from autotuner.spec.server import ServerConfig
from autotuner.supervision.environment import LEASE_VARIABLE

__all__ = ["container_name", "container_order", "docker_settings", "hub_cache", "model_mounts"]

_LOOPBACK = "127.0.0.1"
_INSIDE_PORT = 8000
_HUB_TARGET = "/var/cache/huggingface"
_NAME_BITS = 8
_LONGEST_NAME = 200
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
# GPUs are given to the container and not chosen in it; of those it has, it may see all.
_GPU_CHOICES = frozenset({"CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"})
# Everything is copied while it runs; Docker's own copy must not fill the node's disk.
_LOG_CONFIG = {"Type": "json-file", "Config": {"max-size": "16m", "max-file": "2"}}
_GIB = 2**30


def docker_settings(server: ServerConfig) -> DockerSettings:
    """The server's settings of this launcher.

    Raises:
        LaunchError: it has none, or no image.
    """
    settings = server.launch
    if not isinstance(settings, DockerSettings):
        raise LaunchError("the launcher docker got settings of another launcher")
    if settings.image is None:
        raise LaunchError("engine.image: the launcher docker needs the name of an image")
    return settings


def container_order(request: LaunchRequest) -> dict[str, Any]:
    """What the keeper needs to bring the server up. Holds secrets.

    Raises:
        LaunchError: the settings are not this launcher's, or a folder cannot be made.
    """
    settings = docker_settings(request.server)
    bridged = settings.network == "bridge"
    port = _INSIDE_PORT if bridged else free_port()
    host = "0.0.0.0" if bridged else _LOOPBACK  # noqa: S104 - published on loopback alone
    program, *arguments = request.command(request.server, host, port)
    variables, mounts = _environment(request, settings), _mounts(request, settings)
    config: dict[str, Any] = {
        "Image": settings.image,
        # Both are set: the image may have an entrypoint of its own, which is not our program.
        "Entrypoint": [program],
        "Cmd": arguments,
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "Labels": labels_of(request.lease),
        "StopSignal": "SIGTERM",
        # The image's own would send requests of its own in the middle of a measurement.
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(request, settings, mounts),
    }
    if settings.user is not None:
        config["User"] = settings.user
    if bridged:
        config["ExposedPorts"] = {f"{port}/tcp": {}}
    return {
        "daemon": settings.daemon,
        "image": settings.image,
        "pull": settings.pull,
        "name": container_name(request),
        "token": request.lease.token,
        # The daemon chooses a published port when it starts the container, and holds it then.
        "url": None if bridged else f"http://{_LOOPBACK}:{port}",
        "port": port,
        "config": config,
    }


def container_name(request: LaunchRequest) -> str:
    """Unique, and made of the characters that Docker allows."""
    name = f"autotuner-{request.study_id}-{request.attempt_id}"
    legal = re.sub(r"[^a-zA-Z0-9_.-]", "-", name)[:_LONGEST_NAME]
    return f"{legal}-{request.lease.token[:_NAME_BITS]}"


def hub_cache(settings: DockerSettings, environment: Mapping[str, str]) -> Path:
    """The folder of the node that is the container's Hugging Face cache."""
    chosen = settings.hub_cache or environment.get("HF_HOME") or "~/.cache/huggingface"
    return Path(chosen).expanduser()


def model_mounts(server: ServerConfig) -> Iterator[Mount]:
    """Read-only mounts of what the server reads, each at its own path: flags name these paths."""
    paths = [server.model.path]
    for name, value in server.flags.items():
        if name.lstrip("-").replace("_", "-") in ("tokenizer", "tokenizer-path"):
            paths.append(str(value))
    for path in dict.fromkeys(path for path in paths if path.startswith("/")):
        yield Mount(path, path)
        for folder in sorted(_linked_folders(Path(path))):
            yield Mount(folder, folder)


def _linked_folders(folder: Path) -> set[str]:
    """Where links among a model's files lead: a snapshot of the hub is made of nothing else."""
    try:
        links = [entry for entry in folder.iterdir() if entry.is_symlink()]
    except OSError:  # the daemon will say that it is missing
        return set()
    targets = {os.path.normpath(folder / link.readlink()) for link in links}
    parents = {str(Path(target).parent) for target in targets}
    return {parent for parent in parents if not Path(parent).is_relative_to(folder)}


def _environment(request: LaunchRequest, settings: DockerSettings) -> dict[str, str]:
    """What the study and the engine set, what the hub needs, and the mark of the attempt."""
    variables = {n: v for n, v in request.variables.items() if n not in _GPU_CHOICES}
    for name in _TOKEN_VARIABLES:
        if token := request.environment.get(name):
            variables.setdefault(name, token)
    if _needs_hub(request.server, settings):
        variables.setdefault("HF_HOME", _HUB_TARGET)
    if request.gpu_ids:
        variables.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    else:
        # Where NVIDIA's runtime is the default one, images that ask for all GPUs get them.
        variables["NVIDIA_VISIBLE_DEVICES"] = "void"
    # As in every process of the attempt: by it the sweep finds what a dead daemon left running.
    variables[LEASE_VARIABLE] = request.lease.token
    return variables


def _mounts(request: LaunchRequest, settings: DockerSettings) -> list[Mount]:
    """All mounts, one for each target; the study's own win."""
    found = list(settings.mounts)
    if _needs_hub(request.server, settings):
        cache = hub_cache(settings, request.environment)
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LaunchError(
                f"docker.hub_cache = {cache}: the folder cannot be made on this node "
                f"({error.strerror}); name another one"
            ) from error
        target = request.variables.get("HF_HOME", _HUB_TARGET)
        found.append(Mount(str(cache), target, read_only=False))
    found += model_mounts(request.server)
    if request.cache is not None:
        found.append(Mount(str(request.cache), str(request.cache), read_only=False))
    return list({mount.target: mount for mount in reversed(found)}.values())


def _needs_hub(server: ServerConfig, settings: DockerSettings) -> bool:
    return settings.hub_cache is not None or not server.model.path.startswith("/")


def _host_config(
    request: LaunchRequest, settings: DockerSettings, mounts: list[Mount]
) -> dict[str, Any]:
    host: dict[str, Any] = {
        "NetworkMode": settings.network,
        "IpcMode": settings.ipc,
        # Else the server is process 1, to which a signal means nothing that it does not handle.
        "Init": True,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": _LOG_CONFIG,
        "Mounts": [
            {"Type": "bind", "Source": m.source, "Target": m.target, "ReadOnly": m.read_only}
            for m in mounts
        ],
        "Ulimits": [
            {"Name": name, "Soft": limit, "Hard": limit} for name, limit in settings.ulimits.items()
        ],
    }
    if settings.ipc != "host":
        host["ShmSize"] = int(settings.shm_gib * _GIB)
    if settings.memory_gib is not None:
        # Without swap: a server that swaps is measured, and the measurement means nothing.
        host["Memory"] = host["MemorySwap"] = int(settings.memory_gib * _GIB)
    if settings.runtime is not None:
        host["Runtime"] = settings.runtime
    if request.cpus:
        host["CpusetCpus"] = ",".join(str(cpu) for cpu in request.cpus)
    if request.gpu_ids:
        host["DeviceRequests"] = [{"DeviceIDs": list(request.gpu_ids), "Capabilities": [["gpu"]]}]
    if settings.network == "bridge":
        published = [{"HostIp": _LOOPBACK, "HostPort": ""}]
        host["PortBindings"] = {f"{_INSIDE_PORT}/tcp": published}
    return host
