"""Launchers by name."""

from __future__ import annotations

import importlib

from autotuner.errors import PlanError
from autotuner.launchers.base import Launcher

__all__ = ["load_launcher"]

_LAUNCHERS = {
    "process": "autotuner.launchers.process:ProcessLauncher",
    "docker": "autotuner.launchers.docker.launcher:DockerLauncher",
    "kubernetes": "autotuner.launchers.kubernetes.launcher:KubernetesLauncher",
    "ome": "autotuner.launchers.kubernetes.ome:OmeLauncher",
}


def load_launcher(name: str) -> Launcher:
    """The launcher of this name; the study file has already refused unknown ones.

    Raises:
        PlanError: this node's version of the product is older than the driver's.
    """
    if name not in _LAUNCHERS:
        raise PlanError(f"this version has no launcher {name!r}; it has: {', '.join(_LAUNCHERS)}")
    module, _, attribute = _LAUNCHERS[name].partition(":")
    launcher = getattr(importlib.import_module(module), attribute)()
    assert isinstance(launcher, Launcher)  # noqa: S101 - tells mypy what the table says
    return launcher
