"""The sections of a task file, as written: which keys exist and what each takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from autotuner.spec.study_problems import unknown_name
from autotuner.spec.study_schema import Seconds, Section, Text, example, fault
from autotuner.spec.study_values import is_text_scenario, scenario_fault

__all__ = ["BenchmarkSection", "ModelSection", "OptimizationSection"]

OBJECTIVES = ("minimize_latency", "maximize_throughput", "minimize_ttft", "minimize_tpot")
STRATEGIES = ("grid_search", "random", "bayesian")
TASK = "text-to-text"

_DATASET = (
    "datasets of the first autotuner (request bodies of an API's log) cannot be read; write the "
    "prompts into one column of a CSV file, and a study file with `workloads: [{scenario: "
    "dataset, dataset: {path: prompts.csv, prompt_column: prompt}, ...}]`"
)


def _one_of(*options: str, what: str) -> AfterValidator:
    def check(value: str) -> str:
        if value not in options:
            raise fault(unknown_name(value, options, what))
        return value

    return AfterValidator(check)


def _listed(value: object) -> object:
    is_single = isinstance(value, int | str) and not isinstance(value, bool)
    return [value] if is_single else value


def _once(values: list[Any]) -> list[Any]:
    for value in values:
        if values.count(value) > 1:
            raise fault(f"each may stand here once; remove the second {value}")
    return values


def _scenario(value: str) -> str:
    scenario = re.sub(r"\s+", "", value)
    if (fix := scenario_fault(scenario)) is not None:
        raise fault(fix)
    if scenario == "dataset":
        raise fault(_DATASET)
    if not is_text_scenario(scenario):
        raise fault(f"this scenario belongs to another task than {TASK}; write D(...) or N(...)")
    return scenario


def _refused_dataset(value: object) -> object:
    if value in (None, False, ""):
        return None
    raise fault(_DATASET)


Refused = Annotated[Any, AfterValidator(_refused_dataset)]
Ignored = Any
"""Of any content: it does not reach the study, and a warning says so."""


class ModelSection(Section):
    name: Text | None = example("meta-llama/Llama-3.2-1B-Instruct", default=None)
    id_or_path: Text | None = example("meta-llama/Llama-3.2-1B-Instruct", default=None)
    namespace: Ignored = None
    hf_token: Text | None = example("hf_...", default=None)

    hints: ClassVar[Mapping[str, str]] = {
        "path": "unknown key; did you mean `id_or_path`?",
        "id": "unknown key; did you mean `id_or_path`?",
    }


class OptimizationSection(Section):
    objective: Annotated[str, _one_of(*OBJECTIVES, what="objective")] = example("minimize_latency")
    strategy: Annotated[str, _one_of(*STRATEGIES, what="strategy")] = example(
        "grid_search", default="grid_search"
    )
    max_iterations: int | None = example(10, default=None, ge=1)
    timeout_per_iteration: Seconds | None = example(600, default=None)
    seed: int | None = example(0, default=None)
    n_initial_random: int | None = example(5, default=None, ge=1)
    study_name: Ignored = None
    storage: Ignored = None

    hints: ClassVar[Mapping[str, str]] = {
        "timeout": "unknown key; did you mean `timeout_per_iteration`? It is in seconds"
    }


_MINUTES_HINT = (
    "unknown key, which the first autotuner ignored; did you mean `max_time_per_iteration`? It is "
    "in minutes"
)
_REQUESTS_HINT = "unknown key; did you mean `max_requests_per_iteration`?"


class BenchmarkSection(Section):
    task: Annotated[str, _one_of(TASK, what="task")] = example(TASK, default=TASK)
    model_name: Ignored = None
    model_tokenizer: Text | None = example("meta-llama/Llama-3.2-1B-Instruct", default=None)
    traffic_scenarios: Annotated[
        list[Annotated[str, AfterValidator(_scenario)]] | None,
        BeforeValidator(_listed),
        AfterValidator(lambda values: values and _once(values)),
    ] = example('["D(100,100)"]', default=None, min_length=1)
    num_concurrency: Annotated[
        list[Annotated[int, Field(ge=1)]] | None,
        BeforeValidator(_listed),
        AfterValidator(lambda values: values and _once(values)),
    ] = example([1, 4], default=None, min_length=1)
    max_time_per_iteration: Seconds | None = example(10, default=None)
    max_requests_per_iteration: int | None = example(50, default=None, ge=1)
    additional_params: dict[str, Any] | None = example("{temperature: 0.0}", default=None)
    dataset_url: Refused = None
    dataset_deduplicate: Refused = None

    hints: ClassVar[Mapping[str, str]] = {
        "max_time_per_run": _MINUTES_HINT,
        "max_time": _MINUTES_HINT,
        "max_requests_per_run": _REQUESTS_HINT,
        "max_requests": _REQUESTS_HINT,
        "scenario": "unknown key; did you mean `traffic_scenarios`?",
        "scenarios": "unknown key; did you mean `traffic_scenarios`?",
        "concurrency": "unknown key; did you mean `num_concurrency`?",
    }
