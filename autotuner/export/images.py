"""The container image that holds the engine as it was measured."""

from __future__ import annotations

import re
from collections.abc import Sequence

from autotuner.errors import UserError
from autotuner.spec.server import Footprint

__all__ = ["image_of"]

_IMAGES = {"vllm": "vllm/vllm-openai:v{}", "sglang": "lmsysorg/sglang:v{}"}
_RELEASE = re.compile(r"\d+\.\d+\.\d+(\.post\d+)?")
_IMAGE = re.compile(r"[\w][\w.:/@-]*")


def image_of(engine: str, versions: Sequence[str], footprint: Footprint, wanted: str | None) -> str:
    """The image to run, from the version that was measured.

    Args:
        versions: The engine versions of the measured attempts.
        wanted: What the user named, which wins.

    Raises:
        UserError: the user must name one, and why.
    """
    if wanted is not None:
        if not _IMAGE.fullmatch(wanted):
            raise UserError(f"--image {wanted!r} is no name of an image")
        return wanted
    if engine not in _IMAGES:
        raise UserError(f"no image is known for the engine {engine!r}: name one with --image")
    if footprint.gpus == 0:
        raise UserError(
            f"measured without a GPU, and the image of {engine} is made for GPUs: "
            "name one with --image"
        )
    if len(versions) != 1 or not _RELEASE.fullmatch(versions[0]):
        raise UserError(f"{_versions_problem(engine, versions)}: name the image with --image")
    return _IMAGES[engine].format(versions[0])


def _versions_problem(engine: str, versions: Sequence[str]) -> str:
    if not versions:
        return f"which version of {engine} was measured is not known"
    if len(versions) > 1:
        return f"measured with several versions of {engine} ({', '.join(versions)})"
    return f"version {versions[0]} of {engine} is no release that has an image"
