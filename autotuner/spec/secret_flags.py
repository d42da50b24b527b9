"""Flags of servers that hold a secret."""

from __future__ import annotations

__all__ = ["is_secret_flag"]

# By name: a pattern that finds the secrets among variables finds max-num-batched-tokens here.
_SECRET = frozenset({"api-key", "admin-api-key", "hf-token"})


def is_secret_flag(name: str) -> bool:
    """Whether the flag, in any of its spellings, holds a secret."""
    return name.lstrip("-").replace("_", "-") in _SECRET
