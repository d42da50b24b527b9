"""The traffic of a task file: ``benchmark``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TypeVar

from autotuner.spec.seed_task.notes import NOT_APPLICABLE, Notes
from autotuner.spec.seed_task.sections import BenchmarkSection
from autotuner.spec.source_lines import Loc
from autotuner.spec.study_problems import flow_text
from autotuner.spec.workload import StopRule, Workload

__all__ = ["read_workloads"]

T = TypeVar("T")

# What the first autotuner took where a key was missing.
_SCENARIOS = ("D(100,100)",)
_CONCURRENCY = (1,)
_MINUTES = 10.0
_REQUESTS = 50

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_BOOLEANS = {"true": True, "false": False}


def read_workloads(section: BenchmarkSection, notes: Notes) -> tuple[Workload, ...]:
    """A workload for each traffic scenario."""
    if section.model_name is not None:
        notes.warn(
            ("benchmark", "model_name"),
            f"{NOT_APPLICABLE}: each server answers to a name of its own, so that no other "
            "can be measured in its place",
        )
    if section.model_tokenizer is None:
        notes.warn(
            ("benchmark", "model_tokenizer"),
            "not given: tokens are counted with the model's own tokenizer instead of gpt2",
        )
    scenarios = section.traffic_scenarios or _default(notes, "traffic_scenarios", [*_SCENARIOS])
    concurrency = section.num_concurrency or _default(notes, "num_concurrency", [*_CONCURRENCY])
    stop = _stop(section, notes)
    request = _request(section.additional_params or {}, notes)
    return tuple(
        Workload(scenario, scenario, tuple(concurrency), stop, request=request)
        for scenario in scenarios
    )


def _default(notes: Notes, key: str, value: T) -> T:
    notes.warn(("benchmark", key), f"not given: {flow_text(value)}, as in the first autotuner")
    return value


def _stop(section: BenchmarkSection, notes: Notes) -> StopRule:
    minutes = section.max_time_per_iteration or _MINUTES
    seconds = 60 * minutes
    origin = "minutes, as the first autotuner handed them on, though its users often meant seconds"
    if section.max_time_per_iteration is None:
        origin = "minutes, as in the first autotuner, as none are given"
    notes.warn(
        ("benchmark", "max_time_per_iteration"),
        f"{minutes:g} {origin}: a level ends after {seconds:g} s at the latest; a study file says "
        f"`stop: {{seconds: {seconds:g}}}`",
    )
    requests = section.max_requests_per_iteration
    if requests is None:
        requests = _default(notes, "max_requests_per_iteration", _REQUESTS)
    return StopRule(seconds, requests)


def _request(content: Mapping[str, object], notes: Notes) -> dict[str, object]:
    request: dict[str, object] = {}
    for name, value in content.items():
        loc: Loc = ("benchmark", "additional_params", name)
        typed = _typed(value)
        if typed is not value:
            kind = "true or false" if isinstance(typed, bool) else "a number"
            notes.warn(loc, f"text in the file, sent as {kind}")
        if name != "ignore_eos":
            request[name] = typed
        elif typed is True:
            notes.warn(loc, f"{NOT_APPLICABLE}: answers always have the scenario's full length")
        else:
            fix = (
                "remove this key: scenarios with token counts always generate to their full length"
            )
            notes.problems.add(loc, fix)
    return request


def _typed(value: object) -> object:
    """A number or boolean that the file has as text, as what it is."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    if _NUMBER.fullmatch(text) is None or not math.isfinite(number := float(text)):
        return value
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else number
