"""What a study file optimises, and the limits it sets: ``objective`` and ``constraints``."""

from __future__ import annotations

from collections.abc import Sequence

from autotuner.spec.objective import METRICS, STATISTICS, Constraint, Direction, Objective, Over
from autotuner.spec.server import is_number
from autotuner.spec.source_lines import Loc
from autotuner.spec.study_problems import Problems, did_you_mean, flow_text, unknown_name
from autotuner.spec.study_schema import LevelSection, ObjectiveSection
from autotuner.spec.workload import Level, Workload

__all__ = ["read_constraints", "read_objective"]

_METRIC_OF = {
    "minimize_latency": "e2e_latency_s",
    "maximize_throughput": "output_throughput_tok_s",
    "minimize_ttft": "ttft_s",
    "minimize_tpot": "tpot_s",
}
_PER_GPU = "output_throughput_tok_s_per_gpu"
_HIGHER_IS_BETTER = frozenset(
    {"output_throughput_tok_s", "total_throughput_tok_s", _PER_GPU, "requests_per_s"}
)
_NO_GPU = "a value per GPU needs GPUs, and `resources.gpus` is 0"


def read_objective(
    content: object, problems: Problems, workloads: Sequence[Workload] | None, gpus: int | None
) -> Objective | None:
    """The objective, narrowed as far as the file determines it; None where it has problems.

    Args:
        content: what the file holds under the key.
        problems: takes what is wrong.
        workloads: the study's workloads, None where they could not be read.
        gpus: ``resources.gpus``.
    """
    content = {"name": content} if isinstance(content, str) else content
    section = problems.validated(ObjectiveSection, content, ("objective",))
    if section is None:
        return None
    statistic = _statistic(section, problems, gpus)
    at = section.at or LevelSection()
    levels = _remaining(section, at, workloads, problems) if workloads is not None else []
    names = {level.workload for level in levels}
    minimize = section.name.startswith("minimize")
    return Objective(
        name=section.name,
        metric=_PER_GPU if section.per_gpu else _METRIC_OF[section.name],
        direction=Direction.MINIMIZE if minimize else Direction.MAXIMIZE,
        statistic=statistic,
        workload=next(iter(names)) if len(names) == 1 else at.workload,
        concurrency=levels[0].concurrency if len(levels) == 1 else at.concurrency,
        over=Over(section.over) if section.over is not None else None,
    )


def _statistic(section: ObjectiveSection, problems: Problems, gpus: int | None) -> str | None:
    loc: Loc = ("objective", "statistic")
    throughput = section.name == "maximize_throughput"
    if section.per_gpu and not throughput:
        fix = "only maximize_throughput can be counted per GPU; remove this key"
        problems.add(("objective", "per_gpu"), fix)
    elif section.per_gpu and gpus == 0:
        problems.add(("objective", "per_gpu"), _NO_GPU)
    if throughput:
        if section.statistic is not None:
            fix = "throughput is one number per level and has no statistic; remove this key"
            problems.add(loc, fix)
        return None
    if section.statistic is not None and section.statistic not in STATISTICS:
        problems.add(loc, unknown_name(section.statistic, STATISTICS, "statistic"))
    return section.statistic or "mean"


def _remaining(
    section: ObjectiveSection,
    at: LevelSection,
    workloads: Sequence[Workload],
    problems: Problems,
) -> list[Level]:
    """The levels that the objective looks at; empty where that is not determined."""
    names = [workload.name for workload in workloads]
    if at.workload is not None and at.workload not in names:
        fix = unknown_name(at.workload, names, "workload")
        problems.add(("objective", "at", "workload"), fix)
        return []
    chosen = [w for w in workloads if at.workload in (None, w.name)]
    levels = [level for workload in chosen for level in workload.levels]
    if at.concurrency is not None:
        return _at_concurrency(section, at.concurrency, chosen, problems)
    if len(levels) > 1 and section.over is None:
        problems.add(("objective",), _undetermined(chosen, problems), show=False)
    return levels


def _at_concurrency(
    section: ObjectiveSection,
    concurrency: int,
    chosen: Sequence[Workload],
    problems: Problems,
) -> list[Level]:
    if section.over is not None:
        fix = "`over` chooses among levels and `at.concurrency` names one; remove one of them"
        problems.add(("objective", "over"), fix)
        return []
    levels = [
        level
        for workload in chosen
        for level in workload.levels
        if level.concurrency == concurrency
    ]
    if not levels:
        known = sorted({level.concurrency for w in chosen for level in w.levels})
        fix = f"no level has this concurrency; there are {flow_text(known)}"
        problems.add(("objective", "at", "concurrency"), fix)
    elif len(chosen) > 1:
        fix = (
            "there are several workloads, and their numbers must not be mixed; name one: "
            f"{_with(problems, at={'concurrency': concurrency, 'workload': levels[0].workload})}"
        )
        problems.add(("objective", "at"), fix)
        return []
    return levels


def _undetermined(chosen: Sequence[Workload], problems: Problems) -> str:
    highest = max(chosen[0].levels, key=lambda level: level.concurrency)
    at: dict[str, object] = {"concurrency": highest.concurrency}
    count = sum(len(workload.levels) for workload in chosen)
    if len(chosen) > 1:
        at["workload"] = highest.workload
        names = ", ".join(workload.name for workload in chosen)
        why = (
            f"there are {count} levels in {len(chosen)} workloads ({names}), and a mean over "
            "them would mix different traffic"
        )
    else:
        why = (
            f"there are {count} levels, and a mean over them would hide where the server saturates"
        )
        if len(_workload_names(problems)) > 1:
            at["workload"] = chosen[0].name
    over = {"at": {"workload": at["workload"]}} if len(chosen) == 1 and "workload" in at else {}
    return (
        f"{why}; say which one counts: `{_with(problems, at=at)}`, "
        f"or take the best or the worst: `{_with(problems, over='best', **over)}`"
    )


def _workload_names(problems: Problems) -> list[object]:
    workloads = problems.source.data.get("workloads")
    return workloads if isinstance(workloads, list) else []


def _with(problems: Problems, **changes: object) -> str:
    """The user's objective as one line of the file, with these keys instead of its own."""
    content = problems.source.data.get("objective")
    kept = {"name": content} if isinstance(content, str) else content
    kept = kept if isinstance(kept, dict) else {}
    rest = {key: value for key, value in kept.items() if key not in ("at", "over")}
    return f"objective: {flow_text({**rest, **changes})}"


def read_constraints(
    content: object, problems: Problems, gpus: int | None
) -> tuple[Constraint, ...]:
    """The limits under ``constraints``; what is wrong goes to ``problems``."""
    if content is None:
        return ()
    if not isinstance(content, dict):
        problems.add(("constraints",), "write a mapping, such as `ttft_s: {p99: 0.5}`")
        return ()
    found: list[Constraint] = []
    for metric, limits in content.items():
        loc: Loc = ("constraints", metric)
        if metric not in METRICS:
            problems.add(loc, _unknown_metric(metric))
        elif METRICS[metric]:
            found += _latency_limits(metric, limits, loc, problems)
        elif metric == _PER_GPU and gpus == 0:
            problems.add(loc, _NO_GPU)
        else:
            found += _plain_limit(metric, limits, loc, problems)
    return tuple(found)


def _unknown_metric(metric: str) -> str:
    if metric.endswith("_ms") and (seconds := f"{metric.removesuffix('_ms')}_s") in METRICS:
        return f"unknown metric; did you mean `{seconds}`? It is in seconds: 200 ms is 0.2"
    if metric.partition("_")[0] in ("latency", "e2e") and did_you_mean(metric, METRICS) is None:
        return "unknown metric; did you mean `e2e_latency_s`?"
    return unknown_name(metric, METRICS, "metric")


def _latency_limits(metric: str, limits: object, loc: Loc, problems: Problems) -> list[Constraint]:
    if not isinstance(limits, dict) or not limits:
        amount = flow_text(limits) if is_number(limits) else "0.5"
        fix = f"say which statistic of the requests is limited, such as {{p99: {amount}}}"
        problems.add(loc, fix)
        return []
    found: list[Constraint] = []
    for statistic, limit in limits.items():
        place: Loc = (*loc, statistic)
        if statistic in ("at_least", "at_most"):
            fix = "a latency is always limited from above; name a statistic instead: {p99: 0.5}"
            problems.add(place, fix)
        elif statistic not in STATISTICS:
            problems.add(place, unknown_name(statistic, STATISTICS, "statistic"))
        elif not is_number(limit):
            problems.add(place, "write a number of seconds, without quotes, such as 0.5")
        elif limit <= 0:
            problems.add(place, "write a number of seconds above 0")
        else:
            found.append(Constraint(metric, statistic, float(limit)))
    return found


def _plain_limit(metric: str, limits: object, loc: Loc, problems: Problems) -> list[Constraint]:
    lower = metric in _HIGHER_IS_BETTER
    word = "at_least" if lower else "at_most"
    limit, place = limits, loc
    if isinstance(limits, dict):
        if limits.keys() != {word}:
            wrong = next((key for key in limits if key != word), None)
            place = (*loc, wrong) if wrong is not None else loc
            problems.add(place, f"write {metric}: {{{word}: number}}", show=wrong is None)
            return []
        limit, place = limits[word], (*loc, word)
    elif lower:
        amount = flow_text(limits) if is_number(limits) else "100"
        problems.add(loc, f"more is better here, so write {{at_least: {amount}}}")
        return []
    if not is_number(limit):
        problems.add(place, "write a number, without quotes")
    elif metric == "error_rate" and not 0 <= limit <= 1:
        problems.add(place, "the error rate is a fraction from 0 to 1: 1 % is 0.01")
    elif lower and limit <= 0:
        problems.add(place, "write a number above 0")
    else:
        return [Constraint(metric, None, float(limit), upper=not lower)]
    return []
