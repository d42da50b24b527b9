"""A random order that depends on nothing but a seed and on what is ordered."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["drawn"]

T = TypeVar("T")


def drawn(items: Iterable[T], seed: int, key: Callable[[T], str]) -> list[T]:
    """The items in an order drawn with the seed.

    Two items keep their order among each other whatever else is ordered with them, so that a
    study that grows, or is resumed, goes on in the order in which it began.

    Args:
        key: Tells items apart, the same on every machine.
    """
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}:{key(item)}".encode()).digest())
