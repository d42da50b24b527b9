from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from autotuner.errors import OutputError
from autotuner.results.study_record import StudyRecord
from autotuner.spec.experiment import Experiment, content_id
from autotuner.spec.judging import Condition, Judging, RequestSlo
from autotuner.spec.launching import (
    DockerSettings,
    LaunchSettings,
    Mount,
    OmeSettings,
    PodSettings,
)
from autotuner.spec.objective import (
    Constraint,
    Direction,
    Objective,
    Over,
    Penalty,
    WeightedLevel,
)
from autotuner.spec.server import Footprint, Model, ServerConfig
from autotuner.spec.study import Axis, EngineConfig, StudySpec, UsedPreset


@pytest.mark.parametrize(
    "judging",
    [
        Judging(
            Objective("ttft", "ttft_s", Direction.MINIMIZE, "p99", "chat", 16, None),
            (
                Constraint("ttft_s", "p99", 0.5, penalty=Penalty(2.0, 0.2, 0.5)),
                Constraint("requests_per_s", None, 1, False),
            ),
        ),
        Judging(
            Objective(
                "throughput",
                "output_tokens_per_usd",
                Direction.MAXIMIZE,
                over=Over.WEIGHTED,
                weights=(WeightedLevel(0.7, "chat", 16), WeightedLevel(0.3)),
            ),
            request_slos=(RequestSlo("ttft_s", 0.5),),
            usd_per_gpu_hour=2.5,
            minimal_effect=0.01,
            finalist_servers=3,
            compare_across=frozenset({Condition.NICE, Condition.NEIGHBOURS}),
        ),
    ],
)
def test_a_record_survives_its_file(study: StudyRecord, judging: Judging) -> None:
    full = replace(study, judging=judging)
    assert StudyRecord.from_json(full.to_json(), "study.json") == full


@pytest.mark.parametrize(
    "launch",
    [
        None,
        DockerSettings(),
        DockerSettings(
            image="a:1",
            user="1000",
            mounts=(Mount("/a", "/b"), Mount("/c", "/d", read_only=False)),
            ulimits={"memlock": -1},
        ),
        PodSettings(),
        PodSettings(
            image="a:1",
            requests={"cpu": "8"},
            image_pull_secrets=("one", "two"),
            tolerations=({"key": "a", "tolerationSeconds": 60},),
            affinity={"nodeAffinity": {"a": [{"b": 1}]}},
        ),
        OmeSettings("llama"),
        OmeSettings("llama", runtime="rt", pod=PodSettings(image="a:1", namespace="b")),
    ],
)
def test_the_settings_of_every_launcher_survive_the_file(
    study: StudyRecord, launch: LaunchSettings | None
) -> None:
    launcher = "process" if launch is None else launch.kind
    server = ServerConfig("vllm", Model("a", "a"), {}, launcher=launcher, launch=launch)
    footprint = Footprint(2, quota=launch.quota if launch is not None else None)
    first = replace(study.experiments[0], server=server, footprint=footprint)
    full = replace(study, experiments=(first, *study.experiments[1:]))
    read = StudyRecord.from_json(full.to_json(), "study.json")
    assert read == full
    assert read.experiments[0].server is not None
    assert content_id(read.experiments[0].server.content()) == content_id(server.content())


def test_a_record_knows_its_baseline(study: StudyRecord) -> None:
    assert study.baseline is None
    first = replace(study.experiments[0], is_baseline=True)
    assert replace(study, experiments=(first, *study.experiments[1:])).baseline == first


def test_the_record_of_a_planned_study_holds_every_expected_level(
    experiments: tuple[Experiment, ...], study: StudyRecord
) -> None:
    spec = StudySpec(
        name="tiny",
        engine=EngineConfig("sim"),
        model=Model("/models/tiny", "/models/tiny"),
        axes=(Axis("max-num-seqs", tuple({"max-num-seqs": n} for n in (8, 16, 32))),),
        workloads=experiments[0].workloads,
        judging=study.judging,
        order_seed=7,
        presets=(UsedPreset("sim/goal", 3, "a goal", (), {}),),
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
    unlaunched = tuple(
        replace(e, launch_command="", parts={}, footprint=None) for e in made.experiments
    )
    assert made.order_seed == 7
    assert made.presets == ("sim/goal@3",)
    assert replace(made, experiments=unlaunched, order_seed=None, presets=()) == study
    assert [len(e.levels) for e in made.experiments] == [2, 2, 2]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": 3}', "3"])
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(OutputError, match=r"some/study\.json is not a study record"):
        StudyRecord.from_json(text, "some/study.json")


def test_a_record_of_another_schema_version_is_refused(study: StudyRecord) -> None:
    content = json.loads(study.to_json()) | {"schema_version": 1}
    with pytest.raises(OutputError, match="schema version 1, this autotuner reads 3"):
        StudyRecord.from_json(json.dumps(content), "study.json")
