"""Task files of the first autotuner load, plan, and say what they lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from autotuner.errors import StudyFileError
from autotuner.planning import plan
from autotuner.spec.experiment import Timeouts
from autotuner.spec.launching import DockerSettings
from autotuner.spec.searching import Budget
from autotuner.spec.seed_task.task_file import is_seed_task
from autotuner.spec.source_lines import read_source
from autotuner.spec.study import StudySpec
from autotuner.study import record_of

if TYPE_CHECKING:
    from .conftest import TaskWriter

INPUTS = sorted((Path(__file__).parents[5] / "shared" / "seed_tasks").glob("*.json"))

EVERY_FIELD = """
task_name: every-field
description: All that a task file can say
deployment_mode: docker
model: {id_or_path: org/model-7b, namespace: team, hf_token: hf_not_to_be_seen}
base_runtime: vllm
runtime_image_tag: v1
gpu_type: some-gpu
clusterbasemodel_config: {preset: base}
clusterservingruntime_config: {preset: runtime}
storage: {type: pvc}
parameters:
  max-num-seqs: {type: categorical, values: [64, 128]}
  enable-prefix-caching: [true, false]
  block-size: 16
quant_config: {gemm_dtype: [auto, fp8], kvcache_dtype: fp8_e4m3}
parallel_config: {tp: [1, 2]}
optimization:
  strategy: bayesian
  objective: maximize_throughput
  max_iterations: 5
  timeout_per_iteration: 900
  n_initial_random: 5
  seed: 7
  study_name: old
  storage: "sqlite:///old.db"
slo:
  latency: {p90: {threshold: 5.0, weight: 2.0, hard_fail: true, fail_ratio: 0.2}}
  ttft: {threshold: 1.0}
  steepness: 0.2
benchmark:
  task: text-to-text
  model_name: served
  model_tokenizer: org/model-7b
  traffic_scenarios: ["D(100,100)", "N(480,240)/(300,150)"]
  num_concurrency: [1, 4]
  max_time_per_iteration: 0.5
  max_requests_per_iteration: 40
  additional_params: {temperature: "0.0", ignore_eos: true}
"""


@pytest.fixture
def every_field(tmp_path: Path) -> StudySpec:
    path = tmp_path / "task.yaml"
    path.write_text(EVERY_FIELD)
    return StudySpec.from_file(path)


@pytest.mark.skipif(not INPUTS, reason="the collection of task files is not beside the checkout")
@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.stem)
def test_the_first_autotuners_examples_load_and_plan(path: Path) -> None:
    spec = StudySpec.from_file(path)
    planned = plan(spec)
    assert planned.baseline is not None
    assert all(planned.command(experiment) for experiment in planned.experiments)
    assert spec.warnings


def test_a_file_with_a_task_name_and_no_study_is_a_task(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("task_name: a\n")
    assert is_seed_task(read_source(path))
    path.write_text("task_name: a\nstudy: a\n")
    assert not is_seed_task(read_source(path))


def test_every_field_reaches_the_study_or_a_warning(every_field: StudySpec) -> None:
    spec = every_field
    assert (spec.name, spec.description) == ("every-field", "All that a task file can say")
    assert spec.engine.name == "vllm"
    assert spec.model.path == spec.model.tokenizer == "org/model-7b"
    assert spec.engine.environment == {"HF_TOKEN": "hf_not_to_be_seen"}
    assert spec.timeouts == Timeouts(start_s=900)
    assert (spec.order_seed, spec.searching.seed) == (7, 7)
    assert (spec.searching.first, spec.searching.budget) == (5, Budget(6))
    assert (spec.launcher, spec.launch) == (
        "docker",
        DockerSettings("docker", "vllm/vllm-openai:v1"),
    )
    assert [axis.name for axis in spec.axes][:3] == [
        "max-num-seqs",
        "enable-prefix-caching",
        "block-size",
    ]
    warned = "\n".join(spec.warnings)
    for key in (
        *("model.namespace", "gpu_type"),
        *("clusterbasemodel_config", "clusterservingruntime_config", "storage", "slo"),
        *("optimization.strategy", "optimization.objective", "optimization.max_iterations"),
        *("optimization.timeout_per_iteration", "optimization.seed"),
        *("optimization.study_name", "optimization.storage"),
        *("benchmark.model_name", "benchmark.max_time_per_iteration"),
        *("benchmark.additional_params.temperature", "benchmark.additional_params.ignore_eos"),
    ):
        assert f"{key}: " in warned, key


def test_every_key_of_a_task_is_in_the_document() -> None:
    text = (Path(__file__).parents[4] / "docs" / "seed-tasks.md").read_text()

    def keys(content: dict[str, Any]) -> set[str]:
        inner = [v for v in content.values() if isinstance(v, dict)]
        return set(content).union(*map(keys, inner))

    free = {"p90", "max-num-seqs", "enable-prefix-caching", "block-size", "type", "values"}
    documented = {word for word in keys(yaml.safe_load(EVERY_FIELD)) - free if f"`{word}`" in text}
    assert keys(yaml.safe_load(EVERY_FIELD)) - free - documented - {"temperature"} == set()


def test_warnings_stand_in_the_order_of_the_file(every_field: StudySpec) -> None:
    keys = [warning.partition(":")[0] for warning in every_field.warnings]
    tops = list(dict.fromkeys(key.partition(".")[0] for key in keys))
    order = list(yaml.safe_load(EVERY_FIELD))
    assert tops == [key for key in order if key in tops]


def test_a_token_is_never_shown(every_field: StudySpec) -> None:
    planned = plan(every_field)
    shown = [*every_field.warnings, *planned.variables(planned.experiments[0].server)]
    shown.append(record_of(planned).to_json())
    assert "hf_not_to_be_seen" not in "\n".join(shown)


def test_a_token_in_a_message_is_masked(task: TaskWriter) -> None:
    problems = task.problems(model={"hf_token": ["hf_not_to_be_seen"]}, nonsense=1)
    assert "hf_not_to_be_seen" not in str(problems)


def test_all_mistakes_are_reported_at_once_with_line_and_fix(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(
        "task_name: two words\n"
        "model: {id_or_path: org/model}\n"
        "base_runtime: tensorrt-llm\n"
        "parameter: {}\n"
        "benchmark: {num_concurrency: [1, 1]}\n"
    )
    with pytest.raises(StudyFileError) as caught:
        StudySpec.from_file(path)
    found = {problem.key: (problem.line, problem.fix) for problem in caught.value.problems}
    assert found["task_name"][0] == 1
    assert found["base_runtime"] == (
        3,
        "the engine TensorRT-LLM is not supported; write sglang or vllm",
    )
    assert found["parameter"] == (4, "unknown key; did you mean `parameters`?")
    assert found["benchmark.num_concurrency"][0] == 5
    assert "is missing" in found["optimization"][1]
    assert len(found) == 5


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"paramters": {}}, "paramters"),
        ({"model": {"path": "x"}}, "model.path"),
        ({"optimization": {"timeout": 3}}, "optimization.timeout"),
        ({"benchmark": {"max_time_per_run": 30}}, "benchmark.max_time_per_run"),
        ({"quant_config": {"kv_dtype": "fp8"}}, "quant_config.kv_dtype"),
        ({"parallel_config": {"ep": 2}}, "parallel_config.ep"),
        ({"slo": {"ttft": {"threshold": 1, "wieght": 2}}}, "slo.ttft.wieght"),
        ({"slo": {"latncy": {"p99": {"threshold": 1}}}}, "slo.latncy"),
    ],
)
def test_unknown_keys_are_refused_by_name(
    task: TaskWriter, changes: dict[str, Any], key: str
) -> None:
    problem = task.problem(**changes)
    assert problem.key == key
    assert "unknown" in problem.fix


def test_a_baseline_has_the_first_parallel_sizes_and_else_defaults(task: TaskWriter) -> None:
    spec = task.load(parameters={"mem-fraction-static": [0.8], "tp-size": [4, 8]})
    assert spec.baseline == {"tp-size": 4}
    assert task.load(parameters={"mem-fraction-static": [0.8]}).baseline == {}


def test_a_task_without_parameters_measures_the_engines_defaults(task: TaskWriter) -> None:
    (experiment,) = plan(task.load(parameters=None)).experiments
    assert experiment.is_baseline


def test_what_is_found_wrong_later_is_told_with_its_line(task: TaskWriter) -> None:
    source = task.load().source
    assert source is not None
    lines = (task.folder / "task.json").read_text().splitlines()
    line = source.line(("parameters", "tp-size"))
    assert line is not None
    assert '"tp-size"' in lines[line - 1]
