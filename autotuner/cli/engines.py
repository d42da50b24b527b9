"""List the engines, launchers, load generators and presets that a study can name."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from autotuner.engines.registry import load_engine
from autotuner.errors import PlanError
from autotuner.spec.names import LAUNCHERS, LOAD_GENERATORS, engine_names
from autotuner.spec.presets import preset_names, preset_versions

__all__ = ["HELP", "NAME", "add_arguments", "execute"]

NAME = "engines"
HELP = "list engines, launchers, load generators and presets"

_LAUNCHERS = {
    "process": "A program that is installed on the nodes.",
    "docker": "A container on the node of the attempt.",
    "kubernetes": "A pod and a service in a Kubernetes cluster.",
    "ome": "An InferenceService of OME, in a Kubernetes cluster.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def execute(arguments: argparse.Namespace) -> int:
    del arguments
    table = Table("engine", "what it starts", box=None, pad_edge=False)
    for name in engine_names():
        table.add_row(name, _summary(name))
    console = Console()
    console.print(table)
    console.print()
    launchers = Table("launcher", "as what a server starts", box=None, pad_edge=False)
    for name in LAUNCHERS:
        launchers.add_row(name, _LAUNCHERS[name])
    console.print(launchers)
    console.print(f"\nload generators: {', '.join(LOAD_GENERATORS)}")
    console.print(f"presets: {', '.join(map(_newest, preset_names()))}", highlight=False)
    return 0


def _newest(preset: str) -> str:
    return f"{preset}@{preset_versions(preset)[-1]}"


def _summary(name: str) -> str:
    """First line of the engine's docstring; a broken plug-in must not hide the others."""
    try:
        engine = load_engine(name)
    except PlanError as error:
        return f"cannot be loaded: {error}"
    first_line = (type(engine).__doc__ or "").strip().split("\n")[0]
    return first_line.replace("`", "")
