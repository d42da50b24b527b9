"""Numbers and times as people read them."""

from __future__ import annotations

import math
from datetime import datetime

__all__ = [
    "MISSING",
    "counted",
    "duration",
    "number",
    "percent",
    "quantity",
    "signed_percent",
    "time_text",
]

MISSING = "\N{EN DASH}"
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


def number(value: float | None, digits: int = 3) -> str:
    """With so many significant digits, e.g. ``1,234``, ``12.3``, ``0.00123``."""
    if value is None or not math.isfinite(value):
        return MISSING
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    # With trailing zeros, so that numbers below each other can be compared.
    return f"{value:#.{digits}g}".rstrip(".") if value else "0"


def quantity(value: float | None, unit: str) -> str:
    """A number with its unit; seconds below one as milliseconds."""
    if value is None or not math.isfinite(value):
        return MISSING
    if unit == "s" and abs(value) < 1:
        return f"{number(value * 1000)} ms"
    if unit == "fraction":
        return f"{number(value * 100)} %"
    return f"{number(value)} {unit}"


def percent(fraction: float | None) -> str:
    return MISSING if fraction is None else f"{_rounded(fraction * 100)} %"


def signed_percent(fraction: float | None) -> str:
    """With a sign, e.g. ``+4.1 %``."""
    if fraction is None:
        return MISSING
    text = _rounded(abs(fraction) * 100)
    sign = "" if not float(text.replace(",", "")) else "+" if fraction > 0 else "\N{MINUS SIGN}"
    return f"{sign}{text} %"


def duration(seconds: float | None) -> str:
    """E.g. ``12 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{number(seconds, 2)} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def time_text(moment: datetime) -> str:
    """In UTC, to the second."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def counted(count: int, noun: str) -> str:
    """E.g. ``1 server``, ``2 servers``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"
