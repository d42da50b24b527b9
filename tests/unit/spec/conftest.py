"""A study file that is right, and the means to put a mistake into one section of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from autotuner.errors import StudyFileError, StudyProblem
from autotuner.spec.study import StudySpec
from autotuner.spec.study_file import load_study

SECTIONS = {
    "study": "study: s",
    "engine": "engine: {name: vllm}",
    "model": "model: org/model",
    "workloads": "workloads: [{scenario: 'D(100,100)', concurrency: 1, stop: {seconds: 60}}]",
    "objective": "objective: maximize_throughput",
}


@dataclass(frozen=True)
class StudyWriter:
    """Writes a study file whose sections (the text of one top-level key) can be replaced."""

    folder: Path

    def write(self, text: str, name: str = "study.yaml") -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def load(self, **sections: str) -> StudySpec:
        return load_study(self.write("\n".join({**SECTIONS, **sections}.values()) + "\n"))

    def problems(self, **sections: str) -> tuple[StudyProblem, ...]:
        with pytest.raises(StudyFileError) as caught:
            self.load(**sections)
        return caught.value.problems

    def problem(self, **sections: str) -> StudyProblem:
        (problem,) = self.problems(**sections)
        return problem


@pytest.fixture
def study(tmp_path: Path) -> StudyWriter:
    folder = tmp_path / "studies"
    folder.mkdir()
    return StudyWriter(folder)
