"""What Docker's errors mean for a study: one sentence each, with the key and the way out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autotuner.launchers.base import LaunchFault
from autotuner.launchers.docker.daemon import said
from autotuner.spec.experiment import FailureKind

__all__ = ["fault_at_start", "fault_of_end", "fault_of_pull"]

_GIB = 2**30
_NO_PROGRAM = (126, 127)
_SAID_BY_INIT = re.compile(r"\[FATAL +tini[^\n]*\] exec [^\n]*")


@dataclass(frozen=True, slots=True)
class _Known:
    pattern: re.Pattern[str]
    message: str
    """``{1}`` is the pattern's first group; other names are `_words`."""
    kind: FailureKind = FailureKind.LAUNCH_FAILED


def _known(pattern: str, message: str, kind: FailureKind = FailureKind.LAUNCH_FAILED) -> _Known:
    return _Known(re.compile(pattern, re.IGNORECASE), message, kind)


_AT_START = (
    _known(
        r"could not select device driver",
        "the GPUs {gpus} cannot be given to a container: the node's Docker has no NVIDIA runtime; "
        "install the NVIDIA Container Toolkit there and restart Docker",
    ),
    _known(
        r"nvidia-container-cli|nvidia-container-runtime|failed to inject CDI devices",
        "the GPUs {gpus} cannot be given to a container: the node's NVIDIA Container Toolkit "
        "refuses them; see that `nvidia-smi` works there and lists them",
    ),
    _known(
        r"unknown (?:or invalid )?runtime (?:specified|name:?) *\"?([\w.-]+)",
        "docker.runtime = {1}: the node's Docker knows no such runtime; leave the key out, or add "
        "the runtime to its daemon.json",
    ),
    _known(
        r"bind source path does not exist: ([^\s\"]+)",
        "{1} is to be mounted into the container (model, docker.mounts or docker.hub_cache) and "
        "does not exist on this node; create it there, or correct the path",
    ),
    _known(
        r"port is already allocated|address already in use",
        "the port that the container was to be published on is taken",
        FailureKind.PORT_TAKEN,
    ),
    _known(
        r"setting rlimit",
        "docker.ulimits = {ulimits}: the node's Docker may not set these limits; leave the key "
        "out, or raise the limits of the Docker service itself",
    ),
    _known(
        r"no space left on device",
        "the disk where the node's Docker keeps its containers is full; free some of it, for "
        "instance with `docker system prune`",
        FailureKind.DISK_FULL,
    ),
    _known(
        r"the container name .* is already in use",
        "the container's name {name} is taken on this node; remove that container with "
        "`docker rm --force {name}`",
    ),
    _known(
        r"unable to find (?:user|group) ([^\s:]+)",
        "docker.user = {user}: the image {image} knows no {1}; write numbers, such as 1000:1000",
    ),
    _known(
        r"requested cpus are not available",
        "resources.cpus.server = {cpus}: the node's Docker does not have these CPUs",
    ),
    _known(
        r"memory limit",
        "docker.memory_gib = {memory_gib}: the node's Docker refuses this limit",
    ),
    _known(
        r"network ([\w.-]+) not found|could not find an available.*network",
        "docker.network = {network}: the node's Docker has no such network; write `network: host`",
    ),
    _known(
        r"executable file not found|exec: .*(?:no such file or directory|permission denied)",
        "the image {image} has no program {program} that can be executed; set engine.executable "
        "to where the image has it, or mount it",
    ),
    _known(r"no such image", "the image {image} has gone from this node since it was looked for"),
)
_PULL = (
    _known(
        r"no matching manifest",
        "the image {image} cannot be pulled: there is none for this node's kind of CPU",
    ),
    _known(
        r"unauthorized|authentication required|denied|no basic auth|forbidden",
        "the image {image} cannot be pulled: the registry refuses it to this node, or has none of "
        "this name; run `docker login` there as the user that runs Ray, and check the name",
    ),
    _known(
        r"manifest unknown|not found|does not exist|manifest for",
        "the image {image} cannot be pulled: its registry has none of this name and tag; correct "
        "`image`, or `engine.version`",
    ),
    _known(
        r"no space left on device",
        "the image {image} cannot be pulled: the disk where the node's Docker keeps its images is "
        "full; free some of it, for instance with `docker system prune`",
        FailureKind.DISK_FULL,
    ),
    _known(
        r"dial tcp|lookup|timeout|timed out|connection|no route|network is unreachable|TLS|EOF",
        "the image {image} cannot be pulled: this node does not reach its registry; bring the "
        "image there with `docker load`, or see to the node's network or proxy",
    ),
)


def fault_at_start(error: Exception, order: Mapping[str, Any]) -> LaunchFault:
    """Why the daemon did not create or start the container of an order."""
    return _read(error, _AT_START, order) or LaunchFault(
        FailureKind.LAUNCH_FAILED, f"Docker did not start the container: {said(error)}", said(error)
    )


def fault_of_pull(error: Exception, image: str) -> LaunchFault:
    """Why an image could not be brought to the node."""
    order = {"image": image}
    return _read(error, _PULL, order) or LaunchFault(
        FailureKind.LAUNCH_FAILED, f"the image {image} cannot be pulled: {said(error)}", said(error)
    )


def fault_of_end(
    state: Mapping[str, Any], order: Mapping[str, Any], log_end: str
) -> LaunchFault | None:
    """What a container that has ended by itself tells beside its log; None for its log to tell.

    Args:
        state: The container's ``State``.
    """
    if state.get("OOMKilled"):
        return LaunchFault(FailureKind.OUT_OF_MEMORY_AT_LOAD, _out_of_memory(order))
    told = _SAID_BY_INIT.search(log_end)
    if state.get("ExitCode") in _NO_PROGRAM and told is not None:
        message = _AT_START_PROGRAM.message.format(**_words(order))
        return LaunchFault(_AT_START_PROGRAM.kind, message, told[0])
    if problem := state.get("Error"):
        return _read(RuntimeError(problem), _AT_START, order)
    return None


_AT_START_PROGRAM = next(known for known in _AT_START if "{program}" in known.message)


def _out_of_memory(order: Mapping[str, Any]) -> str:
    limit = order["config"]["HostConfig"].get("Memory")
    if limit:
        return (
            f"the kernel killed the server for want of memory: the container may take "
            f"{limit / _GIB:g} GiB of the node's (docker.memory_gib)"
        )
    return "the kernel killed the server for want of memory: the node's own is used up"


def _read(
    error: Exception, known: tuple[_Known, ...], order: Mapping[str, Any]
) -> LaunchFault | None:
    text = said(error)
    for one in known:
        if (match := one.pattern.search(text)) is not None:
            words = (match[0], *(group or "" for group in match.groups()))
            return LaunchFault(one.kind, one.message.format(*words, **_words(order)), text)
    return None


def _words(order: Mapping[str, Any]) -> dict[str, object]:
    """What messages may name of an order."""
    config = order.get("config", {})
    host = config.get("HostConfig", {})
    requests = host.get("DeviceRequests") or []
    return {
        "image": order.get("image"),
        "name": order.get("name"),
        "gpus": ",".join(gpu for request in requests for gpu in request["DeviceIDs"]) or "(none)",
        "cpus": host.get("CpusetCpus"),
        "user": config.get("User"),
        "network": host.get("NetworkMode"),
        "memory_gib": (host.get("Memory") or 0) / _GIB,
        "ulimits": {limit["Name"]: limit["Soft"] for limit in host.get("Ulimits") or ()},
        "program": (config.get("Entrypoint") or ["(none)"])[0],
    }
