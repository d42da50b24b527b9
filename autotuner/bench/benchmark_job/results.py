"""The experiment folder that genai-bench leaves, read back as the load of one level.

Stock genai-bench keeps less than autotuner's own call of it (`autotuner.bench.genai_bench`):

* Requests have latencies and no times. Throughput is therefore over the length of the level as
  genai-bench tells it, which is looked at once a second and so up to a second too long.
* Requests cut at the end of a level leave no trace, and count nowhere; nor do requests that its
  own validation refuses, such as answers of one token.

Both make throughput a lower bound. What a file is about stands in it: its name is not looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autotuner.bench.base import LevelLoad
from autotuner.results.levels import RequestRecord, RequestStatus
from autotuner.spec.workload import Level

__all__ = ["NoResultsError", "level_load"]

_METADATA = "experiment_metadata.json"
_FIXED = re.compile(r"D\(\d+,(\d+)\)")
_OK = 200


class NoResultsError(Exception):
    """There is no measurement of the level to be read; the message says why, for the user."""


@dataclass(frozen=True, slots=True)
class _Run:
    """One file with the requests of one level."""

    name: str
    aggregated: Mapping[str, Any]
    requests: Sequence[Mapping[str, Any]]
    unit: str


def level_load(files: Mapping[str, bytes], level: Level, served_name: str) -> LevelLoad:
    """The level's records, in order of their end.

    Args:
        files: Name -> content of the JSON files of one experiment folder.
        served_name: The model name that only the server under load answers to.

    Raises:
        NoResultsError: the folder is of another server, or lacks the level, or has it twice.
    """
    _check_server(files, served_name)
    run = _run_of(files, level)
    duration_s = run.aggregated.get("run_duration")
    if not isinstance(duration_s, int | float) or duration_s <= 0:
        raise NoResultsError(f"{run.name} does not say how long the level was")
    if run.unit != "s":
        raise NoResultsError(f"{run.name} is in {run.unit!r}, and seconds are wanted")
    fixed = _FIXED.fullmatch(level.scenario)
    asked = int(fixed[1]) if fixed else None
    records = tuple(_record(index, row, asked) for index, row in enumerate(run.requests))
    return LevelLoad(level, records, None, duration_s=float(duration_s))


def _check_server(files: Mapping[str, bytes], served_name: str) -> None:
    if _METADATA not in files:
        raise NoResultsError(f"the results have no {_METADATA}")
    content = _json(files[_METADATA])
    loaded = content.get("api_model_name") if isinstance(content, Mapping) else None
    if loaded != served_name:
        raise NoResultsError(f"the results are of the server {loaded}, and not of {served_name}")


def _run_of(files: Mapping[str, bytes], level: Level) -> _Run:
    runs = [run for name in sorted(files) if (run := _run(name, files[name])) is not None]
    found = [run for run in runs if _is_of(run, level)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(run.name for run in (found or runs)) or "no file with requests"
    number = "no" if not found else "more than one"
    raise NoResultsError(
        f"the results have {number} file of {level.scenario} at a concurrency of "
        f"{level.concurrency}: {names}"
    )


def _run(name: str, content: bytes) -> _Run | None:
    found = _json(content)
    if not isinstance(found, Mapping):
        return None
    aggregated, requests = found.get("aggregated_metrics"), found.get("individual_request_metrics")
    if not isinstance(aggregated, Mapping) or not isinstance(requests, list):
        return None
    return _Run(name, aggregated, requests, str(found.get("_time_unit", "s")))


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _is_of(run: _Run, level: Level) -> bool:
    return (
        run.aggregated.get("scenario") == level.scenario
        and run.aggregated.get("num_concurrency") == level.concurrency
        and run.aggregated.get("iteration_type", "num_concurrency") == "num_concurrency"
    )


def _record(index: int, row: Mapping[str, Any], asked: int | None) -> RequestRecord:
    code = row.get("error_code")
    if code not in (None, 0, _OK):
        message = row.get("error_message")
        return RequestRecord(
            index,
            RequestStatus.FAILED,
            None,
            error_code=code if isinstance(code, int) else None,
            error_message=None if message is None else str(message),
            output_tokens_asked=asked,
        )
    return RequestRecord(
        index,
        RequestStatus.COMPLETED,
        None,
        ttft_s=row.get("ttft"),
        tpot_s=row.get("tpot"),
        e2e_latency_s=row.get("e2e_latency"),
        input_tokens=row.get("num_input_tokens"),
        output_tokens=row.get("num_output_tokens"),
        reasoning_tokens=row.get("num_reasoning_tokens"),
        output_tokens_asked=asked,
    )
