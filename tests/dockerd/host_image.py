"""The image of this machine, as `examples/host_image.py` makes it, with our own Python in it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import autotuner
from autotuner.spec.launching import Mount

__all__ = ["IMAGE", "MOUNTS", "make_host_image"]

IMAGE = "autotuner/tests"
_PROGRAM = Path(__file__).parents[2] / "examples" / "host_image.py"
_SOURCES = ("/usr", sys.prefix, str(Path(autotuner.__file__).parents[1]))
MOUNTS = tuple(Mount(source, source) for source in dict.fromkeys(_SOURCES))
"""What the simulated server needs in a container of that image."""


def make_host_image(client: Any, name: str = IMAGE, python: str = sys.executable) -> str:
    """Make the image in the client's daemon; its id."""
    spec = importlib.util.spec_from_file_location("host_image", _PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: str = module.make_image(client, name, [python])
    return made
