"""Launchers by name."""

from __future__ import annotations

from autotuner.launchers.base import Launcher

__all__ = ["LAUNCHERS", "load_launcher"]

LAUNCHERS = ("process",)


def load_launcher(name: str) -> Launcher:
    """The launcher of this name; the study file has already refused unknown ones."""
    from autotuner.launchers.process import ProcessLauncher

    return {"process": ProcessLauncher}[name]()
