"""The limits of a study file: ``constraints``, which may be called ``slo`` too.

Three forms say how hard a limit is. The short one, ``{p99: 0.5}``, and ``{p99: {limit: 0.5}}``
are hard; ``{p99: {limit: 0.5, soft: true}}`` costs a penalty; ``{p99: {threshold: 0.5}}`` is the
first autotuner's, which is soft unless it says ``hard_fail``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autotuner.spec.objective import METRICS, STATISTICS, Constraint, Penalty
from autotuner.spec.server import is_number
from autotuner.spec.source_lines import Loc
from autotuner.spec.study_judging_schema import LimitSection, ThresholdSection
from autotuner.spec.study_metrics import (
    HIGHER_IS_BETTER,
    MetricNeeds,
    metric_named,
    unknown_metric,
)
from autotuner.spec.study_problems import Problems, flow_text, unknown_name

__all__ = ["has_constraints", "read_constraints"]

_NAMES = ("constraints", "slo")
_STEEPNESS = "steepness"
_OF_THRESHOLD = frozenset({"threshold", "hard_fail"})
_BOUNDS = ("limit", "at_most", "at_least")
_DEFAULT = Penalty()


def has_constraints(data: Mapping[str, object]) -> bool:
    """Whether the file means to limit anything, rightly or wrongly spelled."""
    sections = [data[name] for name in _NAMES if name in data]
    return any(not isinstance(s, dict) or s.keys() - {_STEEPNESS} for s in sections)


def read_constraints(
    data: Mapping[str, object], problems: Problems, needs: MetricNeeds
) -> tuple[Constraint, ...]:
    """The limits of the file; what is wrong goes to ``problems``."""
    names = [name for name in _NAMES if name in data]
    if len(names) > 1:
        lines = [problems.source.line((name,)) for name in names]
        fix = (
            f"`{names[0]}` on line {lines[0]} and `{names[1]}` on line {lines[1]} are two names "
            "of one section; move all limits into one of them"
        )
        problems.add((names[1],), fix, show=False)
    return tuple(limit for name in names for limit in _section(name, data[name], problems, needs))


def _section(
    name: str, content: object, problems: Problems, needs: MetricNeeds
) -> Sequence[Constraint]:
    if not isinstance(content, dict):
        problems.add((name,), "write a mapping, such as `ttft_s: {p99: 0.5}`")
        return ()
    steepness = content.get(_STEEPNESS, _DEFAULT.steepness)
    if not is_number(steepness) or steepness <= 0:
        problems.add((name, _STEEPNESS), "write a number above 0, without quotes, such as 0.1")
        steepness = _DEFAULT.steepness
    reader = _LimitReader(problems, float(steepness))
    for key, limits in content.items():
        loc: Loc = (name, key)
        metric = metric_named(key)
        if key == _STEEPNESS:
            continue
        if metric is None:
            problems.add(loc, unknown_metric(key))
        elif (fault := needs.fault(metric)) is not None:
            problems.add(loc, fault)
        elif METRICS[metric]:
            reader.of_distribution(metric, limits, loc)
        else:
            reader.plain(metric, limits, loc)
    return reader.found


class _LimitReader:
    """Reads the limits of one section, one metric after the other."""

    def __init__(self, problems: Problems, steepness: float) -> None:
        self.found: list[Constraint] = []
        self._problems = problems
        self._steepness = steepness
        self._places: dict[str, Loc] = {}

    def of_distribution(self, metric: str, limits: object, loc: Loc) -> None:
        """Limits of a metric that has statistics."""
        if not isinstance(limits, dict) or not limits:
            amount = flow_text(limits) if is_number(limits) else "0.5"
            fix = f"say which statistic of the requests is limited, such as {{p99: {amount}}}"
            self._problems.add(loc, fix)
            return
        if limits.keys() & _OF_THRESHOLD:
            # The first autotuner compared these with the mean.
            self._limit(metric, "mean", limits, loc)
            return
        for statistic, limit in limits.items():
            place: Loc = (*loc, statistic)
            if statistic in _BOUNDS:
                fix = f"say which statistic is limited: {{p99: {flow_text(limit)}}}"
                self._problems.add(place, fix)
            elif statistic not in STATISTICS:
                self._problems.add(place, unknown_name(statistic, STATISTICS, "statistic"))
            else:
                self._limit(metric, statistic, limit, place)

    def plain(self, metric: str, limits: object, loc: Loc) -> None:
        """The limit of a metric that is one number per level."""
        word = _word(metric)
        if word == "at_least" and not isinstance(limits, dict):
            amount = flow_text(limits) if is_number(limits) else "100"
            fix = f"more is better here, so write {{at_least: {amount}}}"
            self._problems.add(loc, fix)
            return
        if limits == {}:
            self._problems.add(loc, f"write {metric}: {{{word}: number}}")
            return
        self._limit(metric, None, limits, loc)

    def _limit(self, metric: str, statistic: str | None, content: object, loc: Loc) -> None:
        if not isinstance(content, dict):
            self._add(metric, statistic, content, None, loc, loc)
        elif content.keys() & _OF_THRESHOLD:
            self._of_threshold(metric, statistic, content, loc)
        else:
            self._of_limit(metric, statistic, content, loc)

    def _of_threshold(self, metric: str, statistic: str | None, content: object, loc: Loc) -> None:
        section = self._problems.validated(ThresholdSection, content, loc)
        if section is None:
            return
        fail_ratio = section.fail_ratio if section.hard_fail else None
        penalty = Penalty(section.weight, section.steepness or self._steepness, fail_ratio)
        self._add(metric, statistic, section.threshold, penalty, (*loc, "threshold"), loc)

    def _of_limit(
        self, metric: str, statistic: str | None, content: Mapping[str, object], loc: Loc
    ) -> None:
        word = _word(metric)
        wrong = next((key for key in _BOUNDS[1:] if key in content and key != word), None)
        if wrong is not None:
            fix = f"write {loc[-1]}: {{{word}: number}}"
            self._problems.add((*loc, wrong), fix, show=False)
            return
        section = self._problems.validated(LimitSection, content, loc)
        if section is None:
            return
        bounds = [key for key in ("limit", word) if key in content]
        if len(bounds) != 1:
            state = "says its limit twice" if bounds else "has no limit"
            self._problems.add(loc, f"this {state}; write {loc[-1]}: {{{word}: number, ...}}")
            return
        penalty = None
        if section.soft:
            weight = _DEFAULT.weight if section.weight is None else section.weight
            penalty = Penalty(weight, section.steepness or self._steepness, section.fail_ratio)
        else:
            for key in ("weight", "steepness", "fail_ratio"):
                if key in content:
                    fix = "only a soft limit has this; add `soft: true`, or remove this key"
                    self._problems.add((*loc, key), fix)
        self._add(metric, statistic, content[bounds[0]], penalty, (*loc, bounds[0]), loc)

    def _add(
        self,
        metric: str,
        statistic: str | None,
        amount: object,
        penalty: Penalty | None,
        place: Loc,
        loc: Loc,
    ) -> None:
        """Note the limit, unless its ``amount``, which stands at ``place``, is wrong."""
        if not is_number(amount) or (fault := _amount_fault(metric, amount, penalty)) is not None:
            unit = " of seconds" if METRICS[metric] else ""
            wanted = f"write a number{unit}, without quotes"
            self._problems.add(place, fault if is_number(amount) and fault else wanted)
            return
        upper = metric not in HIGHER_IS_BETTER
        limit = Constraint(metric, statistic, float(amount), upper, penalty)
        first = self._places.setdefault(limit.column, loc)
        if first != loc:
            line = self._problems.source.line(first)
            fix = f"the same is limited on line {line} under another name; remove one of them"
            self._problems.add(loc, fix, show=False)
        self.found.append(limit)


def _word(metric: str) -> str:
    return "at_least" if metric in HIGHER_IS_BETTER else "at_most"


def _amount_fault(metric: str, amount: float, penalty: Penalty | None) -> str | None:
    """What is wrong with the number of a limit."""
    if metric == "error_rate":
        if not 0 <= amount <= 1:
            return "the error rate is a fraction from 0 to 1: 1 % is 0.01"
        if amount == 0 and penalty is not None:
            return (
                "a soft limit is above 0, as its penalty counts by what part of it a value "
                "misses it; write for instance 0.001, or make it hard"
            )
        return None
    if metric == "goodput_share" and not 0 < amount <= 1:
        return "the share is a fraction above 0, at most 1: 95 % is 0.95"
    if amount <= 0:
        return f"write a number{' of seconds' if METRICS[metric] else ''} above 0"
    return None
