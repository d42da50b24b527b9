"""How a study file wants its results judged: objective, limits, prices, and how sure to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autotuner.spec.judging import Condition, Judging, RequestSlo
from autotuner.spec.server import is_number
from autotuner.spec.source_lines import Loc
from autotuner.spec.study_constraints import has_constraints, read_constraints
from autotuner.spec.study_metrics import MetricNeeds, metric_named, unknown_metric
from autotuner.spec.study_numbers import fraction, positive_number, whole_number
from autotuner.spec.study_objective import read_objective
from autotuner.spec.study_problems import Problems, flow_text, unknown_name
from autotuner.spec.workload import Workload

__all__ = ["JUDGING_KEYS", "read_judging"]

JUDGING_KEYS = (
    "constraints",
    "slo",
    "goodput",
    "usd_per_gpu_hour",
    "minimal_effect",
    "finalist_servers",
    "max_repeats",
    "compare_across",
)
"""The optional keys of the top level that are read here."""

_REQUEST_METRICS = ("ttft_s", "tpot_s", "e2e_latency_s")
_MINIMAL_EFFECT = 0.02
_FINALIST_SERVERS = 5


def read_judging(
    data: Mapping[str, object],
    problems: Problems,
    workloads: Sequence[Workload] | None,
    gpus: int | None,
) -> Judging | None:
    """How the file wants its results judged; None where it has no valid objective.

    Args:
        data: the top level of the file, without keys that have no value.
        problems: takes what is wrong.
        workloads: the study's workloads, None where they could not be read.
        gpus: ``resources.gpus``.
    """
    needs = MetricNeeds(gpus, "goodput" in data, "usd_per_gpu_hour" in data)
    objective = None
    if "objective" in data:
        objective = read_objective(
            data["objective"], problems, workloads, needs, constrained=has_constraints(data)
        )
    constraints = read_constraints(data, problems, needs)
    request_slos = _request_slos(data.get("goodput"), problems)
    price = _price(data, problems, gpus)
    minimal_effect = fraction(data, "minimal_effect", problems, default=_MINIMAL_EFFECT)
    servers = whole_number(
        data,
        "finalist_servers",
        problems,
        default=_FINALIST_SERVERS,
        least=1,
        remark="1 measures nothing again on a fresh server",
    )
    repeats = None
    if "max_repeats" in data:
        remark = "0 measures nothing again; without the key, what six finalists take"
        repeats = whole_number(data, "max_repeats", problems, default=0, least=0, remark=remark)
    compare_across = _compare_across(data.get("compare_across"), problems)
    if objective is None:
        return None
    return Judging(
        objective,
        constraints,
        request_slos,
        price,
        minimal_effect,
        servers,
        repeats,
        compare_across,
    )


def _price(data: Mapping[str, object], problems: Problems, gpus: int | None) -> float | None:
    price = positive_number(data, "usd_per_gpu_hour", problems)
    if price is not None and gpus == 0:
        fix = "there is nothing to pay, as `resources.gpus` is 0; remove this key"
        problems.add(("usd_per_gpu_hour",), fix)
    return price


def _request_slos(content: object, problems: Problems) -> tuple[RequestSlo, ...]:
    if content is None:
        return ()
    if not isinstance(content, dict) or not content:
        fix = "write the limits that each request must keep: `goodput: {ttft_s: 0.5, tpot_s: 0.05}`"
        problems.add(("goodput",), fix)
        return ()
    found: dict[str, RequestSlo] = {}
    for key, limit in content.items():
        loc: Loc = ("goodput", key)
        metric = metric_named(key)
        if metric == "itl_s":
            problems.add(loc, "a request has no single ITL; limit `tpot_s`, its mean")
        elif metric not in _REQUEST_METRICS:
            problems.add(loc, unknown_metric(key, _REQUEST_METRICS))
        elif isinstance(limit, dict):
            fix = (
                "this limits each single request, so it has no statistic: "
                f"write {key}: 0.5. A limit on a statistic belongs under `constraints`"
            )
            problems.add(loc, fix)
        elif not is_number(limit) or limit <= 0:
            problems.add(loc, "write a number of seconds above 0, without quotes, such as 0.5")
        elif metric in found:
            problems.add(loc, f"`{metric}` is limited here twice; remove one of them", show=False)
        else:
            found[metric] = RequestSlo(metric, float(limit))
    return tuple(found.values())


def _compare_across(content: object, problems: Problems) -> frozenset[Condition] | None:
    names = [condition.value for condition in Condition]
    if content is None:
        return None
    if not isinstance(content, list):
        written = flow_text([content if content in names else "neighbours"])
        problems.add(("compare_across",), f"write a list: `compare_across: {written}`")
        return None
    found = set()
    for index, name in enumerate(content):
        if name in names:
            found.add(Condition(name))
        else:
            fix = unknown_name(str(name), names, "circumstance")
            problems.add(("compare_across", index), fix)
    return frozenset(found)
