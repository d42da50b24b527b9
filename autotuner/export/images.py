"""The container image that holds the engine as it was measured."""

from __future__ import annotations

from collections.abc import Sequence

from autotuner.errors import UserError
from autotuner.spec.images import has_images, image_fault, release_image
from autotuner.spec.server import Footprint, ServerConfig

__all__ = ["image_of"]


def image_of(
    server: ServerConfig, versions: Sequence[str], footprint: Footprint, wanted: str | None
) -> str:
    """The image to run: what the user names, else the one that was measured, else the engine's.

    Args:
        versions: The engine versions of the measured attempts.
        wanted: What the user named, which wins.

    Raises:
        UserError: the user must name one, and why.
    """
    if wanted is not None:
        if (fault := image_fault(wanted)) is not None:
            raise UserError(f"--image {wanted!r} is no name of an image: {fault}")
        return wanted
    if server.launch is not None and server.launch.image is not None:
        return server.launch.image
    engine = server.engine
    if not has_images(engine):
        raise UserError(f"no image is known for the engine {engine!r}: name one with --image")
    if footprint.gpus == 0:
        raise UserError(
            f"measured without a GPU, and the image of {engine} is made for GPUs: "
            "name one with --image"
        )
    image = release_image(engine, versions[0]) if len(versions) == 1 else None
    if image is None:
        raise UserError(f"{_versions_problem(engine, versions)}: name the image with --image")
    return image


def _versions_problem(engine: str, versions: Sequence[str]) -> str:
    if not versions:
        return f"which version of {engine} was measured is not known"
    if len(versions) > 1:
        return f"measured with several versions of {engine} ({', '.join(versions)})"
    return f"version {versions[0]} of {engine} is no release that has an image"
