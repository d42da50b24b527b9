"""The section ``workloads`` of a study file, as written: which keys exist and what each takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from autotuner.spec.study_schema import Seconds, Section, Text, example, fault
from autotuner.spec.study_values import scenario_fault

__all__ = ["WorkloadSection"]

TASK = "text-to-text"


def _listed(value: object) -> object:
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


def _unique(values: list[int]) -> list[int]:
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise fault(f"each concurrency may stand here once; remove the second {repeated[0]}")
    return values


def _scenario(value: str) -> str:
    scenario = re.sub(r"\s+", "", value)
    if (fix := scenario_fault(scenario)) is not None:
        raise fault(fix)
    return scenario


def _find(value: str) -> str:
    if "rate" in value:
        raise fault(
            "the load generators here keep requests in flight, and none sends so many a second; "
            "write max_concurrency"
        )
    if value != "max_concurrency":
        raise fault("only the largest concurrency can be found; write max_concurrency")
    return value


def _under(value: str) -> str:
    if value not in ("slo", "constraints"):
        raise fault("a load is found under the study's limits; write slo, or leave this key out")
    return value


def _task(value: str) -> str:
    if value != TASK:
        raise fault(f"only {TASK} can be measured for now; leave this key out")
    return value


class DatasetSection(Section):
    path: Text | None = example("prompts.csv", default=None)
    config: Text | None = example("dataset.json", default=None)
    prompt_column: Text | None = example("prompt", default=None)


_SECONDS_HINT = "unknown key; did you mean `seconds`?"
_REQUESTS_HINT = "unknown key; did you mean `requests`?"


class StopSection(Section):
    seconds: Seconds = example(60)
    requests: int | None = example(64, default=None, ge=1)

    hints: ClassVar[Mapping[str, str]] = {
        "max_time": _SECONDS_HINT,
        "max_time_per_run": _SECONDS_HINT,
        "max_time_per_iteration": _SECONDS_HINT,
        "max_seconds": _SECONDS_HINT,
        "time": _SECONDS_HINT,
        "duration": _SECONDS_HINT,
        "minutes": "unknown key; did you mean `seconds`? One minute is `seconds: 60`",
        "max_requests": _REQUESTS_HINT,
        "max_requests_per_run": _REQUESTS_HINT,
        "max_requests_per_iteration": _REQUESTS_HINT,
    }


class LoadSection(Section):
    find: Annotated[str, AfterValidator(_find)] = example("max_concurrency")
    under: Annotated[str, AfterValidator(_under)] = example("slo", default="slo")
    min: int = example(1, default=1, ge=1)
    max: int = example(512, default=512, ge=1)
    within: float = example(0.1, default=0.1, ge=0.01, le=1)

    hints: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("least", "from", "start"), "unknown key; did you mean `min`?"),
        **dict.fromkeys(("most", "to", "limit"), "unknown key; did you mean `max`?"),
        **dict.fromkeys(("tolerance", "precision"), "unknown key; did you mean `within`?"),
    }


class WorkloadSection(Section):
    scenario: Annotated[str, AfterValidator(_scenario)] = example('"D(100,100)"')
    concurrency: (
        Annotated[
            list[Annotated[int, Field(ge=1)]], BeforeValidator(_listed), AfterValidator(_unique)
        ]
        | None
    ) = example([1, 8], min_length=1, default=None)
    load: LoadSection | None = example("{find: max_concurrency, max: 512}", default=None)
    stop: StopSection = example("{seconds: 60}")
    name: Text | None = example("chat", default=None)
    task: Annotated[str, AfterValidator(_task)] = example(TASK, default=TASK)
    dataset: DatasetSection | None = example("{path: prompts.csv}", default=None)
    request: dict[str, Any] | None = example("{temperature: 0.0}", default=None)
    warmup_requests: int | None = example(8, default=None, ge=0)

    hints: ClassVar[Mapping[str, str]] = {
        "traffic_scenarios": "unknown key; did you mean `scenario`? It takes one scenario",
        "num_concurrency": "unknown key; did you mean `concurrency`?",
    }
