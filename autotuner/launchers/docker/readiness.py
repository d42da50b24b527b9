"""What servers in containers need of a node, looked at without starting one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from docker.errors import APIError

from autotuner.errors import LaunchError
from autotuner.launchers.base import Readiness
from autotuner.launchers.docker.container import docker_settings, hub_cache, model_mounts
from autotuner.launchers.docker.daemon import LOST, DockerFaultError, connected, said
from autotuner.launchers.docker.images import find_image, image_facts, obtain_image
from autotuner.spec.launching import DockerSettings
from autotuner.spec.server import Footprint, ServerConfig

__all__ = ["look"]

_HOOK = "nvidia-container-runtime-hook"
_LITTLE_BYTES = 20 * 2**30
"""Images of engines take up to so much, unpacked."""


def look(
    server: ServerConfig, footprint: Footprint, environment: Mapping[str, str], *, fetch: bool
) -> Sequence[Readiness]:
    """Everything that was looked at; as in `Launcher.check`."""
    found: list[Readiness] = []
    try:
        settings = docker_settings(server)
        found += _folders(server, settings, environment)
        with connected(settings.daemon) as client:
            info: dict[str, Any] = client.info()
            found += _daemon(info, settings)
            found += _gpus(info, footprint)
            found.append(_image(client, info, settings, fetch=fetch))
    except LaunchError as error:
        found.append(Readiness("Docker", "settings", str(error)))
    except DockerFaultError as error:
        found.append(Readiness("Docker daemon", "no answer", error.fault.message))
    except (APIError, *LOST) as error:
        message = f"the daemon failed while it was asked: {said(error)}; see its log"
        found.append(Readiness("Docker daemon", "an error", message))
    return tuple(found)


def _daemon(info: Mapping[str, Any], settings: DockerSettings) -> Iterator[Readiness]:
    version = str(info.get("ServerVersion"))
    rootless = any("rootless" in option for option in info.get("SecurityOptions") or ())
    fix = None
    if rootless and settings.network == "host":
        fix = (
            "the daemon runs without root, so that its host network is not the node's: write "
            "docker: {network: bridge}"
        )
    yield Readiness("Docker daemon", version, fix)
    if settings.memory_gib is not None:
        total = info.get("MemTotal") or 0
        yield Readiness("Docker memory limit", *_memory(info, settings.memory_gib, total))
    if settings.runtime is not None:
        known = sorted(info.get("Runtimes") or ())
        fix = None
        if settings.runtime not in known:
            fix = (
                f"docker.runtime = {settings.runtime}: this node's Docker has none of that name; "
                "leave the key out, or add the runtime to its daemon.json"
            )
        yield Readiness("Docker runtime", ", ".join(known), fix)


def _memory(info: Mapping[str, Any], limit_gib: float, total: int) -> tuple[str, str | None]:
    read = f"{total / 2**30:.0f} GiB in all"
    if not info.get("MemoryLimit"):
        return read, (
            f"docker.memory_gib = {limit_gib:g}: this node's kernel cannot limit a container's "
            "memory; leave the key out, or start the kernel with the memory cgroup"
        )
    if total and limit_gib * 2**30 > total:
        return read, (
            f"docker.memory_gib = {limit_gib:g} is more than this node has; write less, or leave "
            "the key out"
        )
    return read, None


def _gpus(info: Mapping[str, Any], footprint: Footprint) -> Iterator[Readiness]:
    if footprint.gpus == 0:
        return
    # The daemon looks for the hook on its own PATH, which may be longer than ours.
    signs = [name for name in info.get("Runtimes") or () if "nvidia" in name]
    signs += [_HOOK] if shutil.which(_HOOK) else []
    signs += ["CDI"] if _has_cdi(info) else []
    fix = None
    if not signs:
        fix = (
            "no sign of an NVIDIA runtime, without which containers get no GPUs: install the "
            "NVIDIA Container Toolkit on this node and restart Docker"
        )
    yield Readiness("GPUs in containers", ", ".join(signs) or "none", fix, blocks=False)


def _has_cdi(info: Mapping[str, Any]) -> bool:
    folders = info.get("CDISpecDirs") or ("/etc/cdi", "/var/run/cdi")
    return any(next(Path(folder).glob("nvidia*"), None) for folder in folders)


def _image(
    client: Any, info: Mapping[str, Any], settings: DockerSettings, *, fetch: bool
) -> Readiness:
    name = str(settings.image)
    check = f"image {name}"
    found = find_image(client, name)
    if fetch and (found is None or settings.pull == "always") and settings.pull != "never":
        try:
            found = obtain_image(client, name, settings.pull, lambda line: None)
        except DockerFaultError as error:
            return Readiness(check, "not on this node", error.fault.message)
    if found is not None:
        return Readiness(check, str(image_facts(name, found)["image_id"])[:19])
    if settings.pull == "never":
        fix = (
            "docker.pull = never, and the image is not on this node: bring it there with "
            "`docker pull` or `docker load`, or write `pull: missing`"
        )
        return Readiness(check, "not on this node", fix)
    return Readiness(check, "will be pulled", _room(str(info.get("DockerRootDir"))), blocks=False)


def _room(folder: str) -> str | None:
    try:
        free = shutil.disk_usage(folder).free
    except OSError:  # not for us to look at
        return None
    if free > _LITTLE_BYTES:
        return None
    return (
        f"{free / 2**30:.0f} GiB are free in {folder}, and images of engines take up to "
        f"{_LITTLE_BYTES >> 30}; free some, for instance with `docker system prune`"
    )


def _folders(
    server: ServerConfig, settings: DockerSettings, environment: Mapping[str, str]
) -> Iterator[Readiness]:
    """What is mounted has to be there: Docker makes no folder."""
    sources = {mount.source: "docker.mounts" for mount in settings.mounts}
    sources |= {mount.source: "model" for mount in model_mounts(server)}
    for source, key in sources.items():
        there = Path(source).exists()
        fix = None if there else f"{key}: {source} does not exist on this node, and is mounted"
        yield Readiness(f"mount {source}", "there" if there else "missing", fix)
    if settings.hub_cache is not None:
        cache = hub_cache(settings, environment)
        place = next(folder for folder in (cache, *cache.parents) if folder.exists())
        fix = None
        if not os.access(place, os.W_OK):
            fix = f"docker.hub_cache = {cache}: this user may not write to {place}"
        yield Readiness("hub cache", str(cache), fix)
