"""Durations as people write them: ``8h``, ``1h30m``, ``90m``, or seconds."""

from __future__ import annotations

import re

from autotuner.spec.server import is_number

__all__ = ["seconds_of"]

_UNITS_S = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "min": 60.0, "s": 1.0}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(min|[dhms])", re.IGNORECASE)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+\s*", re.IGNORECASE)


def seconds_of(written: object) -> float | None:
    """Seconds, above 0; None for what is no duration.

    Args:
        written: A number of seconds, or text of numbers with units: d, h, m (or min) and s.
    """
    if is_number(written):
        return float(written) if written > 0 else None
    if not isinstance(written, str) or _WHOLE.fullmatch(written) is None:
        return None
    parts = _PART.findall(written)
    return sum(float(number) * _UNITS_S[unit.lower()] for number, unit in parts) or None
