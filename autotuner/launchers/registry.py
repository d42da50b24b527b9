"""Launchers by name."""

from __future__ import annotations

import importlib

from autotuner.errors import PlanError
from autotuner.launchers.base import Launcher

__all__ = ["load_launcher"]

_LAUNCHERS = {
    "process": "autotuner.launchers.process:ProcessLauncher",
    "docker": "autotuner.launchers.docker.launcher:DockerLauncher",
}


def load_launcher(name: str) -> Launcher:
    """The launcher of this name; the study file has already refused unknown ones.

    Raises:
        PlanError: it is one whose servers cannot be started yet.
    """
    if name not in _LAUNCHERS:
        raise PlanError(
            f"servers cannot be started with the launcher {name!r} yet, only planned; use one of: "
            f"{', '.join(_LAUNCHERS)}"
        )
    module, _, attribute = _LAUNCHERS[name].partition(":")
    launcher = getattr(importlib.import_module(module), attribute)()
    assert isinstance(launcher, Launcher)  # noqa: S101 - tells mypy what the table says
    return launcher
