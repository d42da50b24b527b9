from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from autotuner.errors import OutputError
from autotuner.results.study_record import StudyRecord
from autotuner.spec.experiment import Experiment
from autotuner.spec.objective import Constraint, Direction, Objective
from autotuner.spec.server import Model
from autotuner.spec.study import Axis, EngineConfig, StudySpec


def test_a_record_survives_its_file(study: StudyRecord) -> None:
    full = replace(
        study,
        constraints=(
            Constraint("ttft_s", "p99", 0.5),
            Constraint("requests_per_s", None, 1, False),
        ),
    )
    assert StudyRecord.from_json(full.to_json(), "study.json") == full
    named = replace(
        study,
        objective=Objective("ttft", "ttft_s", Direction.MINIMIZE, "p99", "chat", 16, None),
    )
    assert StudyRecord.from_json(named.to_json(), "study.json") == named


def test_the_record_of_a_planned_study_holds_every_expected_level(
    experiments: tuple[Experiment, ...], study: StudyRecord
) -> None:
    spec = StudySpec(
        name="tiny",
        engine=EngineConfig("sim"),
        model=Model("/models/tiny", "/models/tiny"),
        axes=(Axis("max-num-seqs", tuple({"max-num-seqs": n} for n in (8, 16, 32))),),
        workloads=experiments[0].workloads,
        objective=study.objective,
    )
    made = StudyRecord.of(
        spec,
        experiments,
        launch_commands={experiments[0].id: "vllm serve m"},
        study_id="study1",
        created_at=datetime(2025, 3, 1, 12, 0, tzinfo=UTC),
        autotuner_version="0.1.0",
    )
    assert [e.launch_command for e in made.experiments] == ["vllm serve m", "", ""]
    unlaunched = tuple(replace(e, launch_command="", parts={}) for e in made.experiments)
    assert replace(made, experiments=unlaunched) == study
    assert [len(e.levels) for e in made.experiments] == [2, 2, 2]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": 2}', "3"])
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(OutputError, match=r"some/study\.json is not a study record"):
        StudyRecord.from_json(text, "some/study.json")


def test_a_record_of_another_schema_version_is_refused(study: StudyRecord) -> None:
    content = json.loads(study.to_json()) | {"schema_version": 1}
    with pytest.raises(OutputError, match="schema version 1, this autotuner reads 2"):
        StudyRecord.from_json(json.dumps(content), "study.json")
