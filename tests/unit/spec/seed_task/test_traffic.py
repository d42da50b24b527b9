"""``benchmark`` of a task file becomes workloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from autotuner.spec.workload import StopRule

if TYPE_CHECKING:
    from .conftest import TaskWriter


def test_each_scenario_is_a_workload(task: TaskWriter) -> None:
    scenarios = ["D(100,100)", "N(480, 240)/(300,150)"]
    workloads = task.load(
        benchmark={"traffic_scenarios": scenarios, "num_concurrency": [1, 8]}
    ).workloads
    assert [(w.name, w.scenario, w.concurrency) for w in workloads] == [
        ("D(100,100)", "D(100,100)", (1, 8)),
        ("N(480,240)/(300,150)", "N(480,240)/(300,150)", (1, 8)),
    ]


def test_the_time_limit_is_read_in_minutes_and_both_readings_are_named(task: TaskWriter) -> None:
    changes = {"benchmark": {"max_time_per_iteration": 10, "max_requests_per_iteration": 20}}
    (workload,) = task.load(**changes).workloads
    assert workload.stop == StopRule(600.0, 20)
    warning = task.warning("benchmark.max_time_per_iteration", **changes)
    assert "10 minutes" in warning
    assert "meant seconds" in warning
    assert "`stop: {seconds: 600}`" in warning


def test_what_is_missing_is_what_the_first_autotuner_took(task: TaskWriter) -> None:
    nothing = dict.fromkeys(
        (
            "traffic_scenarios",
            "num_concurrency",
            "max_time_per_iteration",
            "max_requests_per_iteration",
            "model_tokenizer",
        )
    )
    spec = task.load(benchmark=nothing)
    (workload,) = spec.workloads
    assert (workload.scenario, workload.concurrency) == ("D(100,100)", (1,))
    assert workload.stop == StopRule(600.0, 50)
    assert spec.model.tokenizer == "org/model"
    for key in nothing:
        assert task.warning(f"benchmark.{key}", benchmark=nothing)


def test_numbers_written_as_text_are_sent_as_numbers(task: TaskWriter) -> None:
    params = {"temperature": "0.0", "top_k": "5", "stop": "word", "stream": "true", "n": 1}
    spec = task.load(benchmark={"additional_params": params})
    (workload,) = spec.workloads
    assert workload.request == {
        "temperature": 0.0,
        "top_k": 5,
        "stop": "word",
        "stream": True,
        "n": 1,
    }
    changed = [w.partition(":")[0] for w in spec.warnings if "text in the file, sent as" in w]
    assert changed == [
        f"benchmark.additional_params.{n}" for n in ("temperature", "top_k", "stream")
    ]


@pytest.mark.parametrize("value", [True, "true"])
def test_ignore_eos_is_always_so(task: TaskWriter, value: object) -> None:
    spec = task.load(benchmark={"additional_params": {"ignore_eos": value}})
    assert spec.workloads[0].request == {}
    assert any("always have the scenario's full length" in w for w in spec.warnings)


@pytest.mark.parametrize(
    ("benchmark", "key", "words"),
    [
        ({"additional_params": {"ignore_eos": False}}, "additional_params.ignore_eos", "remove"),
        ({"dataset_url": "https://example.org/a.csv.gz"}, "dataset_url", "study file with"),
        ({"dataset_deduplicate": True}, "dataset_deduplicate", "study file with"),
        ({"traffic_scenarios": ["dataset"]}, "traffic_scenarios[0]", "study file with"),
        ({"traffic_scenarios": ["D(100;100)"]}, "traffic_scenarios[0]", "unknown scenario"),
        ({"traffic_scenarios": ["E(64)"]}, "traffic_scenarios[0]", "another task"),
        ({"traffic_scenarios": []}, "traffic_scenarios", "must not be empty"),
        ({"traffic_scenarios": ["D(1,1)", "D(1, 1)"]}, "traffic_scenarios", "remove the second"),
        ({"num_concurrency": [0]}, "num_concurrency[0]", "at least 1"),
        ({"num_concurrency": ["4"]}, "num_concurrency[0]", "without quotes"),
        ({"num_concurrency": [4, 4]}, "num_concurrency", "remove the second 4"),
        ({"max_time_per_iteration": 0}, "max_time_per_iteration", "above 0"),
        ({"task": "text-to-embeddings"}, "task", "text-to-text"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(
    task: TaskWriter, benchmark: dict[str, Any], key: str, words: str
) -> None:
    problem = task.problem(benchmark=benchmark)
    assert problem.key == f"benchmark.{key}"
    assert words in problem.fix
