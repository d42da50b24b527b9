"""What differs between two studies beside their numbers, and what of it forbids to compare them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autotuner.results.load import StudyResults
from autotuner.results.study_record import ExpectedExperiment, StudyRecord
from autotuner.spec.judging import Judging
from autotuner.spec.launching import decisive_settings
from autotuner.spec.secret_flags import is_secret_flag
from autotuner.spec.server import ServerConfig, Value, spelled
from autotuner.spec.study_problems import flow_text
from autotuner.spec.workload import Level

__all__ = ["Changed", "changed_circumstances", "refusals"]

_COLUMNS = (
    "engine",
    "engine_version",
    "image_id",
    "model",
    "gpu_model",
    "gpus",
    "bench",
    "bench_version",
    "nice",
    "simulated",
)
_MOST_LISTED = 6
_NONE = "unknown"


@dataclass(frozen=True, slots=True)
class Changed:
    """Something that is not the same in both studies, in words."""

    what: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.what}: {self.before} -> {self.after}"


def changed_circumstances(
    before: StudyResults,
    after: StudyResults,
    both: Sequence[tuple[ExpectedExperiment, ExpectedExperiment]],
) -> tuple[Changed, ...]:
    """What may explain a difference: versions, hardware, limits, and fixed flags.

    Args:
        both: The experiments that are in both studies.
    """
    found = [
        Changed(column.replace("_", " "), _values(before, column), _values(after, column))
        for column in _COLUMNS
    ]
    old, new = before.study, after.study
    found.append(Changed("autotuner", old.autotuner_version, new.autotuner_version))
    found += [
        Changed(what, shown(old.judging), shown(new.judging)) for what, shown in _JUDGING.items()
    ]
    found += _launches(both)
    found += _fixed_values(both)
    return tuple(change for change in found if change.before != change.after)


def refusals(before: StudyRecord, after: StudyRecord) -> tuple[str, ...]:
    """Why the numbers of two studies mean different things, one sentence each."""
    found = []
    old, new = before.judging.objective, after.judging.objective
    # The name is only what the study file calls it.
    if replace(old, name="") != replace(new, name=""):
        found.append(
            f"the objectives differ: {old.describe()} before, {new.describe()} after; judge both "
            "studies by the same one"
        )
    if old.metric == new.metric == "output_tokens_per_usd" and (
        before.judging.usd_per_gpu_hour != after.judging.usd_per_gpu_hour
    ):
        found.append("the objective is per dollar, and the prices differ")
    if (
        old.metric == new.metric
        and old.metric.startswith("goodput")
        and (before.judging.request_slos != after.judging.request_slos)
    ):
        found.append("the objective is goodput, and its limits differ")
    found += _workload_refusals(before, after)
    return tuple(found)


def _workload_refusals(before: StudyRecord, after: StudyRecord) -> list[str]:
    old, new = _levels(before), _levels(after)
    if old != new:
        lost, added = _listed(old - new), _listed(new - old)
        parts = [f"only before: {lost}"] * bool(lost) + [f"only after: {added}"] * bool(added)
        return [f"the workloads differ; {'; '.join(parts)}"]
    if _workload_parts(before) != _workload_parts(after):
        return [
            "the workloads differ, though not in scenario or concurrency: in their stop rule, "
            "dataset, request parameters, warm-up, repeats or allowed error rate"
        ]
    return []


def _levels(study: StudyRecord) -> set[Level]:
    return {level for experiment in study.experiments for level in experiment.levels}


def _listed(levels: set[Level]) -> str:
    shown = [str(level) for level in sorted(levels)]
    more = len(shown) - _MOST_LISTED
    return ", ".join(shown[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def _workload_parts(study: StudyRecord) -> set[str]:
    return {experiment.parts.get("workloads", "") for experiment in study.experiments}


def _values(results: StudyResults, column: str) -> str:
    """The values of a column of the attempts that the ranking compares, as text."""
    compared = [attempt for attempts in results.compared.values() for attempt in attempts]
    rows = results.experiments[results.experiments["attempt_id"].isin(compared)]
    values = {spelled(value) for value in rows[column].dropna().tolist()}
    return ", ".join(sorted(values)) or _NONE


def _limits(judging: Judging) -> str:
    return ", ".join(sorted(str(constraint) for constraint in judging.constraints)) or "none"


_JUDGING: dict[str, Callable[[Judging], str]] = {
    "limits": _limits,
    "goodput limits": lambda j: ", ".join(sorted(str(slo) for slo in j.request_slos)) or "none",
    "USD per GPU-hour": lambda j: "none" if j.usd_per_gpu_hour is None else str(j.usd_per_gpu_hour),
    "minimal effect": lambda j: str(j.minimal_effect),
}


def _launches(
    both: Sequence[tuple[ExpectedExperiment, ExpectedExperiment]],
) -> list[Changed]:
    """As what servers of alike experiments were started: launcher, image, shared memory."""
    found: dict[Changed, None] = {}
    for old, new in both:
        if old.server is None or new.server is None:
            continue
        ours, theirs = _launch(old.server), _launch(new.server)
        # Settings of different launchers have hardly more in common than their image.
        same = old.server.launcher == new.server.launcher
        for name in dict.fromkeys([*ours, *theirs]) if same else ("launcher", "image"):
            before, after = ours.get(name), theirs.get(name)
            if before != after:
                what = name.replace("_", " ")
                found[Changed(what, _setting(before), _setting(after))] = None
    return list(found)


def _launch(server: ServerConfig) -> dict[str, object]:
    settings: dict[str, Any] = {}
    if server.launch is not None:
        settings = decisive_settings(server.launch)
    pod = settings.pop("pod", {})
    return {"launcher": server.launcher, **settings, **pod}


def _setting(value: object) -> str:
    if value in (None, (), {}):
        return "not set"
    return value if isinstance(value, str) else flow_text(value)


def _fixed_values(
    both: Sequence[tuple[ExpectedExperiment, ExpectedExperiment]],
) -> list[Changed]:
    """Flags and variables that the studies give alike experiments differently."""
    found: dict[Changed, None] = {}
    for old, new in both:
        if old.server is None or new.server is None:
            continue
        for kind, ours, theirs in (
            ("flag", old.server.flags, new.server.flags),
            ("variable", old.server.environment, new.server.environment),
        ):
            for name in dict.fromkeys([*ours, *theirs]):
                if _shown(ours.get(name)) != _shown(theirs.get(name)):
                    found[_changed(f"{kind} {name}", name, ours, theirs)] = None
    return list(found)


def _changed(
    what: str, name: str, ours: Mapping[str, Value], theirs: Mapping[str, Value]
) -> Changed:
    if is_secret_flag(name):
        return Changed(what, "a secret", "another one")
    return Changed(what, _shown(ours.get(name)), _shown(theirs.get(name)))


def _shown(value: Value) -> str:
    return "not set" if value is None else spelled(value)
