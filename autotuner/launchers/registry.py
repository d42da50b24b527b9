"""Launchers by name."""

from __future__ import annotations

from autotuner.launchers.base import Launcher

__all__ = ["load_launcher"]


def load_launcher(name: str) -> Launcher:
    """The launcher of this name; the study file has already refused unknown ones."""
    from autotuner.launchers.process import ProcessLauncher

    return {"process": ProcessLauncher}[name]()
