"""Single numbers at the top level of a study file, such as ``repeats: 3``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from autotuner.spec.server import is_number
from autotuner.spec.study_problems import Problems

__all__ = ["fraction", "positive_number", "whole_number"]

_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%?\s*")


def whole_number(
    data: Mapping[str, object],
    key: str,
    problems: Problems,
    *,
    default: int,
    least: int,
    remark: str,
) -> int:
    """The whole number under ``key``; ``remark`` says what a number means."""
    count = data.get(key, default)
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        fix = f"write a whole number of at least {least}, without quotes; {remark}"
        problems.add((key,), fix)
        return default
    return count


def positive_number(data: Mapping[str, object], key: str, problems: Problems) -> float | None:
    """The number above 0 under ``key``; None where there is none."""
    number = data.get(key)
    if number is None:
        return None
    if not is_number(number) or number <= 0:
        problems.add((key,), "write a number above 0, without quotes, such as 2.5")
        return None
    return float(number)


def fraction(data: Mapping[str, object], key: str, problems: Problems, *, default: float) -> float:
    """The fraction under ``key``, above 0 and below 1."""
    value = data.get(key, default)
    if is_number(value) and 0 < value < 1:
        return float(value)
    problems.add((key,), f"this is a fraction of 1, so write {_as_fraction(value, default)}")
    return default


def _as_fraction(value: object, default: float) -> str:
    """What was probably meant: 2 and ``"2%"`` are 0.02, ``"0.02"`` is a number in quotes."""
    match = _PERCENT.fullmatch(str(value)) if not isinstance(value, bool) else None
    number = float(match[1]) if match is not None else 0.0
    if number >= 1 or "%" in str(value):
        number /= 100
    return f"{number if 0 < number < 1 else default:g}"
