"""Ranges of a parameter, ``{min: 1, max: 1024, scale: log}``, as the finitely many values to try.

Two measurements differ by more than small steps do, so a range is a list in short: all its values
are known, and printed, before anything starts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import count, takewhile
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from autotuner.spec.server import is_number
from autotuner.spec.source_lines import Loc
from autotuner.spec.study_problems import Problems, unknown_name
from autotuner.spec.study_schema import Section, example, fault

__all__ = ["MOST_VALUES", "Range", "is_range", "range_values", "read_range"]

MOST_VALUES = 1000
"""Of one range."""

_SCALES = ("linear", "log")
_TEN_STEPS = 11
"""Values of a linear range whose steps nobody has named."""
_DIGITS = 6
_DIGITS_OF_LOG = 3


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from one end to the other; whole ones where both ends and the step are whole."""

    low: int | float
    high: int | float
    step: int | float | None = None
    count: int | None = None
    log: bool = False

    @property
    def is_whole(self) -> bool:
        return all(isinstance(number, int) for number in (self.low, self.high, self.step or 0))


def range_values(given: Range) -> tuple[int | float, ...]:
    """The values of a range with valid ends, rising.

    * With a step: the lower end and one step further each time, up to the upper end.
    * With a count: so many, both ends among them, evenly spread on the scale.
    * Whole numbers on a log scale, with neither: the powers of two, and both ends.
    * Else, with neither: ten steps of equal width or proportion, or every whole number where there
      are no more.

    More than `MOST_VALUES` are not made.
    """
    if given.step is not None:
        values = _stepped(given, given.step)
    elif given.log and given.is_whole and given.count is None:
        values = _powers_of_two(int(given.low), int(given.high))
    else:
        values = _spread(given, given.count or _TEN_STEPS)
    return tuple(dict.fromkeys(value if given.is_whole else float(value) for value in values))


def _stepped(given: Range, step: int | float) -> list[int | float]:
    # Decimals, or 0.8 and two steps of 0.05 were 0.9000000000000001.
    low, high, by = (Decimal(str(number)) for number in (given.low, given.high, step))
    many = min(int((high - low) // by), MOST_VALUES) + 1
    numbers = (low + index * by for index in range(many))
    return [int(number) if given.is_whole else float(number) for number in numbers]


def _powers_of_two(low: int, high: int) -> list[int | float]:
    powers = takewhile(lambda number: number < high, (1 << exponent for exponent in count()))
    return [low, *(number for number in powers if number > low), high]


def _spread(given: Range, values: int) -> list[int | float]:
    low, high = float(given.low), float(given.high)
    if given.is_whole:
        values = min(values, int(given.high) - int(given.low) + 1)
    parts = [index / (values - 1) for index in range(1, values - 1)]
    if given.log:
        inside = [low * (high / low) ** part for part in parts]
    else:
        inside = [low + (high - low) * part for part in parts]
    digits = _DIGITS_OF_LOG if given.log else _DIGITS
    short = [round(n) if given.is_whole else float(f"{n:.{digits}g}") for n in inside]
    return [given.low, *short, given.high]


def _number(value: object) -> object:
    if isinstance(value, str) and not _is_text(value):
        raise fault("write a number without quotes")
    if not is_number(value):
        raise fault("write a number")
    return value


def _is_text(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return True
    return False


def _scale(value: object) -> object:
    if value not in _SCALES:
        raise fault(unknown_name(str(value), _SCALES, "scale"))
    return value


def _count(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= MOST_VALUES:
        raise fault(
            f"write a whole number of at least 2, as both ends count, and at most {MOST_VALUES}"
        )
    return value


Number = Annotated[Any, AfterValidator(_number)]


class _RangeSection(Section):
    type: str = "range"
    min: Number = example(1)
    max: Number = example(1024)
    step: Number = example(0.05, default=None)
    count: Annotated[Any, AfterValidator(_count)] = example(8, default=None)
    scale: Annotated[Any, AfterValidator(_scale)] = example("log", default="linear")

    hints: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("low", "lower", "from", "start", "minimum"), "unknown key; did you mean `min`?"
        ),
        **dict.fromkeys(
            ("high", "upper", "to", "end", "maximum"), "unknown key; did you mean `max`?"
        ),
        **dict.fromkeys(
            ("num", "n", "number", "points", "samples"), "unknown key; did you mean `count`?"
        ),
        **dict.fromkeys(("increment", "by", "steps"), "unknown key; did you mean `step`?"),
        "log": "unknown key; did you mean `scale: log`?",
    }


_TELLING = frozenset({"min", "max", "step", *_RangeSection.hints} - {"log"})


def is_range(spec: Mapping[str, object]) -> bool:
    """Whether a mapping that stands for a parameter is meant as a range."""
    return spec.get("type", "range") == "range" and not _TELLING.isdisjoint(spec)


def read_range(
    spec: Mapping[str, object], problems: Problems, loc: Loc
) -> tuple[int | float, ...] | None:
    """The values of the range that stands at ``loc``; None where it has problems."""
    section = problems.validated(_RangeSection, dict(spec), loc)
    if section is None:
        return None
    log = section.scale == "log"
    given = Range(section.min, section.max, section.step, section.count, log)
    if (wrong := _mistake(given)) is not None:
        key, fix = wrong
        problems.add((*loc, key), fix)
        return None
    values = range_values(given)
    if len(values) <= MOST_VALUES:
        return values
    fix = (
        f"these are more than {MOST_VALUES:,} values, and measurements differ by more than such "
        f"steps do; write a larger one, or `count: {_TEN_STEPS}`"
    )
    problems.add((*loc, "step"), fix)
    return None


def _mistake(given: Range) -> tuple[str, str] | None:
    """A key, and what is wrong with its value beside the others."""
    if given.low >= given.high:
        return "max", f"this must be above `min`, which is {given.low:g}"
    if given.log and given.low <= 0:
        return "min", "a log scale has no zero and nothing below; write a number above 0"
    if given.step is None:
        return None
    if given.log:
        return "step", "steps of a log scale would be factors; write `count`, or neither"
    if given.count is not None:
        return "count", "`step` says already how many there are; remove one of them"
    if not 0 < given.step <= given.high - given.low:
        width = given.high - given.low
        return "step", f"write a number above 0 and at most {width:g}, from `min` to `max`"
    if math.isinf(given.high - given.low):
        return "max", "write a finite range"
    return None
