"""Names of container images, and which of them holds a release of an engine."""

from __future__ import annotations

import re

__all__ = ["has_images", "image_fault", "is_release", "release_image"]

_IMAGES = {"vllm": "vllm/vllm-openai:v{}", "sglang": "lmsysorg/sglang:v{}"}
_RELEASE = re.compile(r"\d+\.\d+\.\d+(\.post\d+)?")

# The grammar of the reference implementation (distribution/reference).
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]+)?"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"sha256:[0-9a-f]{64}"
_REFERENCE = re.compile(
    rf"(?:{_REGISTRY}/)?{_COMPONENT}(?:/{_COMPONENT})*(?::{_TAG})?(?:@{_DIGEST})?"
)
_MOST_CHARACTERS = 500


def image_fault(name: str) -> str | None:
    """What is wrong with the name of an image, in words for the user, or None."""
    if len(name) <= _MOST_CHARACTERS and _REFERENCE.fullmatch(name):
        return None
    example = "such as `registry.example:5000/team/vllm:v1`"
    if "://" in name:
        return f"an image's name has no scheme; write it without `{name.partition('://')[0]}://`"
    if name.strip() != name or not name:
        return f"this is no image's name; write one without spaces, {example}"
    if name != name.lower() and image_fault(name.lower()) is None:
        return "this is no image's name: all of it but the tag is in lower case"
    return f"this is no image's name; write one {example}"


def is_release(version: str) -> bool:
    """Whether the version is one of which engines publish images, such as ``0.11.0``."""
    return _RELEASE.fullmatch(version) is not None


def has_images(engine: str) -> bool:
    """Whether it is known where the engine publishes its images, which are made for GPUs."""
    return engine in _IMAGES


def release_image(engine: str, version: str) -> str | None:
    """The engine's own image of a release; None where none is known."""
    if not has_images(engine) or not is_release(version):
        return None
    return _IMAGES[engine].format(version)
