"""``parallel_config`` becomes real flags, or is refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from autotuner.planning import plan

if TYPE_CHECKING:
    from .conftest import TaskWriter


def flags(task: TaskWriter, engine: str, **config: Any) -> list[str]:
    return task.flags(base_runtime=engine, parameters=None, parallel_config=config)


def test_sizes_are_flags_of_the_engine_and_1_is_left_out(task: TaskWriter) -> None:
    assert flags(task, "vllm", tp=4, pp=2, dp=1, dcp=2, enable_expert_parallel=True) == [
        "--tensor-parallel-size 4 --pipeline-parallel-size 2 --decode-context-parallel-size 2 "
        "--enable-expert-parallel"
    ]
    assert flags(task, "sglang", tp=4, pp=2, dp=2) == ["--tp-size 4 --pp-size 2 --dp-size 2"]


def test_dense_layers_on_one_gpu_are_not_the_engines_default(task: TaskWriter) -> None:
    assert flags(task, "sglang", tp=2, moe_dense_tp=1) == ["--tp-size 2 --moe-dense-tp-size 1"]


def test_lists_are_combined_and_reserve_the_gpus_they_take(task: TaskWriter) -> None:
    changes = {"parameters": None, "parallel_config": {"tp": [2, 4], "dp": [1, 2]}}
    assert task.flags(**changes) == [
        "--tp-size 2",
        "--tp-size 2 --dp-size 2",
        "--tp-size 4",
        "--tp-size 4 --dp-size 2",
    ]
    planned = plan(task.load(**changes))
    assert [e.footprint.gpus for e in planned.experiments] == [2, 4, 4, 8]
    assert planned.baseline == planned.experiments[0]  # the first of the combinations


@pytest.mark.parametrize(
    ("engine", "preset", "expected", "gpus"),
    [
        ("vllm", "high-throughput", "--data-parallel-size 8", 8),
        ("vllm", "large-model-tp", "--tensor-parallel-size 8", 8),
        ("vllm", "large-model-tp-pp", "--tensor-parallel-size 8 --pipeline-parallel-size 2", 16),
        ("vllm", "balanced", "--tensor-parallel-size 2 --data-parallel-size 4", 8),
        (
            "vllm",
            "moe-optimized",
            "--tensor-parallel-size 2 --data-parallel-size 8 --enable-expert-parallel",
            16,
        ),
        ("vllm", "long-context", "--tensor-parallel-size 4 --decode-context-parallel-size 4", 4),
        ("sglang", "large-model-tp", "--tp-size 8", 8),
        ("sglang", "large-model-tp-pp", "--tp-size 8 --pp-size 2", 16),
    ],
)
def test_presets_give_real_flags(
    task: TaskWriter, engine: str, preset: str, expected: str, gpus: int
) -> None:
    assert flags(task, engine, preset=preset) == [expected]
    spec = task.load(base_runtime=engine, parameters=None, parallel_config={"preset": preset})
    assert plan(spec).experiments[-1].footprint.gpus == gpus


@pytest.mark.parametrize(
    ("engine", "config", "words"),
    [
        ("vllm", {"cp": 2}, "cp 2: vllm cannot"),
        ("vllm", {"moe_ep": 2}, "moe_ep 2: vllm cannot"),
        ("vllm", {"moe_dense_tp": 1}, "moe_dense_tp 1: vllm cannot"),
        ("sglang", {"dcp": 2}, "dcp 2: sglang cannot"),
        ("sglang", {"moe_tp": 2}, "moe_tp 2: sglang cannot"),
        ("sglang", {"enable_expert_parallel": True}, "enable_expert_parallel true: sglang cannot"),
        ("sglang", {"tp": 2, "dp": 4}, "tp 2 is not divisible by dp 4"),
        ("sglang", {"preset": "balanced"}, "tp 2 is not divisible by dp 4 (preset balanced)"),
        ("sglang", {"preset": "long-context"}, "unknown preset; allowed: single-gpu"),
        ("vllm", {"presets": ["balnced"]}, "did you mean `balanced`?"),
        ("vllm", {"tp": 0}, "at least 1"),
        ("vllm", {"tp": [1, "2"]}, "whole number"),
        ("vllm", {"enable_expert_parallel": "true"}, "true or false, without quotes"),
    ],
)
def test_what_an_engine_cannot_do_is_refused_by_name(
    task: TaskWriter, engine: str, config: dict[str, Any], words: str
) -> None:
    problem = task.problem(base_runtime=engine, parallel_config=config)
    assert problem.key.startswith("parallel_config.")
    assert words in problem.fix
