"""A task file that is right, and the means to put a mistake into one part of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autotuner.errors import StudyFileError, StudyProblem
from autotuner.planning import plan
from autotuner.spec.study import StudySpec

TASK: Mapping[str, Any] = {
    "task_name": "tiny",
    "deployment_mode": "local",
    "model": {"id_or_path": "org/model"},
    "base_runtime": "sglang",
    "parameters": {"tp-size": [1]},
    "optimization": {"objective": "minimize_latency", "timeout_per_iteration": 600},
    "benchmark": {
        "model_tokenizer": "org/model",
        "traffic_scenarios": ["D(100,100)"],
        "num_concurrency": [4],
        "max_time_per_iteration": 1,
        "max_requests_per_iteration": 50,
    },
}


@dataclass(frozen=True)
class TaskWriter:
    """Writes task files; a section's keys are replaced one by one, other values whole.

    None stands for a key that is left out, which is what a null in the file means.
    """

    folder: Path

    def write(self, **changes: Any) -> Path:
        task: dict[str, Any] = {}
        for key, value in {**TASK, **changes}.items():
            is_section = key in ("model", "optimization", "benchmark") and isinstance(value, dict)
            task[key] = {**TASK[key], **value} if is_section else value
        path = self.folder / "task.json"
        path.write_text(json.dumps(task, indent=1))
        return path

    def load(self, **changes: Any) -> StudySpec:
        return StudySpec.from_file(self.write(**changes))

    def problems(self, **changes: Any) -> tuple[StudyProblem, ...]:
        with pytest.raises(StudyFileError) as caught:
            self.load(**changes)
        return caught.value.problems

    def problem(self, **changes: Any) -> StudyProblem:
        (problem,) = self.problems(**changes)
        return problem

    def flags(self, **changes: Any) -> list[str]:
        """Flags of each combination as its server gets them; one that is the baseline is first."""
        planned = plan(self.load(**changes))
        points = itertools.product(*(axis.points for axis in planned.spec.axes))
        grid = [{name: v for point in chosen for name, v in point.items()} for chosen in points]
        return [
            " ".join(planned.command(e)).partition("{served_name}")[2].strip()
            for e in planned.experiments
            if e.parameters in grid
        ]

    def warning(self, key: str, **changes: Any) -> str:
        """The only warning about a key."""
        found = [w for w in self.load(**changes).warnings if w.startswith(f"{key}: ")]
        (warning,) = found
        return warning


@pytest.fixture
def task(tmp_path: Path) -> TaskWriter:
    return TaskWriter(tmp_path)
