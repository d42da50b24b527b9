"""The limits of a task file: ``slo``, in the first autotuner's form."""

from __future__ import annotations

from autotuner.spec.objective import STATISTICS, Constraint, Penalty
from autotuner.spec.seed_task.notes import Notes
from autotuner.spec.server import is_number
from autotuner.spec.source_lines import Loc
from autotuner.spec.study_problems import unknown_name

__all__ = ["read_limits"]

KEY = "slo"
_METRICS = {"latency": "e2e_latency_s", "ttft": "ttft_s", "tpot": "tpot_s"}
_STEEPNESS_KEY = "steepness"
_LIMIT_KEYS = ("threshold", "weight", "hard_fail", "fail_ratio")


def read_limits(content: object, notes: Notes) -> tuple[Constraint, ...]:
    """The limits under ``slo``; what is wrong goes to the problems."""
    if content is None:
        return ()
    problems = notes.problems
    if not isinstance(content, dict):
        problems.add((KEY,), "write a mapping, such as `ttft: {threshold: 0.5}`")
        return ()
    steepness = _number(content, _STEEPNESS_KEY, Penalty().steepness, (KEY,), notes)
    limits: list[Constraint] = []
    for name, limit in content.items():
        loc: Loc = (KEY, name)
        if name == _STEEPNESS_KEY:
            continue
        if name not in _METRICS:
            problems.add(loc, unknown_name(name, (*_METRICS, _STEEPNESS_KEY)))
        elif not isinstance(limit, dict) or not limit:
            problems.add(loc, "write a mapping, such as {p99: {threshold: 0.5}}")
        elif "threshold" in limit or any(key in limit for key in _LIMIT_KEYS):
            statistic = "mean"
            limits += _limit(_METRICS[name], statistic, limit, steepness, loc, notes)
        else:
            for statistic, inner in limit.items():
                place: Loc = (*loc, statistic)
                if statistic not in STATISTICS:
                    problems.add(place, unknown_name(statistic, STATISTICS, "statistic"))
                else:
                    limits += _limit(_METRICS[name], statistic, inner, steepness, place, notes)
    if any(limit.penalty is not None for limit in limits):
        notes.warn(
            (KEY,),
            "a miss costs weight * (exp(miss / steepness) - 1), which begins at nothing; the first "
            "autotuner's penalty began at the full weight",
        )
    return tuple(limits)


def _limit(
    metric: str, statistic: str, content: object, steepness: float, loc: Loc, notes: Notes
) -> list[Constraint]:
    problems = notes.problems
    if not isinstance(content, dict):
        problems.add(loc, "write a mapping, such as {threshold: 0.5}")
        return []
    for key in content:
        if key not in _LIMIT_KEYS:
            problems.add((*loc, key), unknown_name(key, _LIMIT_KEYS))
    if "threshold" not in content:
        problems.add((*loc, "threshold"), "this key is missing; add it, in seconds", show=False)
        return []
    threshold = _number(content, "threshold", 1.0, loc, notes)
    weight = _number(content, "weight", Penalty().weight, loc, notes)
    ratio = _number(content, "fail_ratio", 0.5, loc, notes, zero=True)
    hard = content.get("hard_fail", False)
    if not isinstance(hard, bool):
        problems.add((*loc, "hard_fail"), "write true or false, without quotes")
    penalty = Penalty(weight, steepness, ratio if hard is True else None)
    return [Constraint(metric, statistic, threshold, penalty=penalty)]


def _number(
    content: dict[str, object],
    key: str,
    default: float,
    loc: Loc,
    notes: Notes,
    *,
    zero: bool = False,
) -> float:
    value = content.get(key, default)
    if not is_number(value):
        notes.problems.add((*loc, key), "write a number, without quotes")
    elif value < 0 or (value == 0 and not zero):
        notes.problems.add((*loc, key), f"write a number {'from 0' if zero else 'above 0'}")
    else:
        return float(value)
    return default
