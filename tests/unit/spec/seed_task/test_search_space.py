"""``parameters`` of a task file, and who wins where two sections set one flag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import TaskWriter


def test_lists_choices_and_single_values_become_axes(task: TaskWriter) -> None:
    spec = task.load(
        parameters={
            "tp-size": [1, 2],
            "schedule-policy": {"type": "choice", "values": ["lpm"]},
            "attention-backend": {"type": "categorical", "values": ["fa3", "triton"]},
            "mem-fraction-static": 0.8,
        }
    )
    assert [(axis.name, [*axis.points]) for axis in spec.axes] == [
        ("tp-size", [{"tp-size": 1}, {"tp-size": 2}]),
        ("schedule-policy", [{"schedule-policy": "lpm"}]),
        ("attention-backend", [{"attention-backend": "fa3"}, {"attention-backend": "triton"}]),
        ("mem-fraction-static", [{"mem-fraction-static": 0.8}]),
    ]


def test_true_is_a_bare_flag_and_false_and_null_leave_it_out(task: TaskWriter) -> None:
    assert task.flags(parameters={"enable-mixed-chunk": [True]}) == ["--enable-mixed-chunk"]
    changes = {"parameters": {"enable-mixed-chunk": [True, False], "kv-cache-dtype": [None]}}
    assert task.flags(**changes) == ["", "--enable-mixed-chunk"]
    assert "the word None" in task.warning("parameters.kv-cache-dtype", **changes)


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ({"type": "integer", "low": 1, "high": 9, "log": True}, [1, 2, 4, 8, 9]),
        ({"type": "integer", "low": 1, "high": 3}, [1, 2, 3]),
        ({"type": "integer", "low": 1.0, "high": 3.0, "log": False}, [1, 2, 3]),
        ({"type": "continuous", "low": 0, "high": 1}, [n / 10 for n in range(11)]),
    ],
)
def test_a_range_is_tried_at_values_which_a_warning_lists(
    task: TaskWriter, spec: dict[str, Any], values: list[float]
) -> None:
    changes = {"parameters": {"x": spec}}
    (axis,) = task.load(**changes).axes
    found = [point["x"] for point in axis.points]
    assert found == values
    assert list(map(type, found)) == list(map(type, values))
    assert f"tried at {len(values)} values" in task.warning("parameters.x", **changes)


@pytest.mark.parametrize(
    ("spec", "key", "words"),
    [
        ({"type": "integer", "low": 1}, "high", "the range's high end"),
        ({"type": "integer", "low": 1.5, "high": 3}, "low", "whole number"),
        ({"type": "continuous", "low": "1", "high": 3}, "low", "without quotes"),
        ({"type": "continuous", "low": 3, "high": 3}, "high", "above `low`"),
        ({"type": "continuous", "low": 0, "high": 3, "log": True}, "low", "above 0"),
        ({"type": "integer", "low": 1, "high": 3, "step": 2}, "step", "unknown key"),
    ],
)
def test_a_wrong_range_is_explained(
    task: TaskWriter, spec: dict[str, Any], key: str, words: str
) -> None:
    problem = task.problem(parameters={"x": spec})
    assert problem.key == f"parameters.x.{key}"
    assert words in problem.fix


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ({"x": []}, "the list is empty"),
        ({"x": {"type": "choice", "values": []}}, "the list is empty"),
        ({"x": {"type": "tied", "values": [1]}}, "unknown type"),
        ({"--x": [1]}, "without leading dashes"),
        ({"host": ["0.0.0.0"]}, "autotuner sets this flag itself"),
        ({"tp-size": ["2"]}, "whole number"),
        ({"mem_frac": [0.8], "mem-fraction-static": [0.8]}, "sets the same flag"),
        ({"tp-size": [1], "tensor-parallel-size": [1]}, "sets the same flag"),
        ({"tp_size": [1], "tp-size": [1]}, "this is also set by"),
    ],
)
def test_what_is_no_search_space_is_refused(
    task: TaskWriter, parameter: dict[str, Any], words: str
) -> None:
    assert words in task.problem(parameters=parameter).fix


def test_names_of_the_first_autotuner_become_flags_with_a_warning(task: TaskWriter) -> None:
    old = {
        "tp_size": [2],
        "mem_frac": [0.8],
        "max_total_tokens": [4096],
        "schedule_policy": ["lpm"],
    }
    assert task.flags(parameters=old) == [
        "--tp-size 2 --mem-fraction-static 0.8 --max-total-tokens 4096 --schedule-policy lpm"
    ]
    warning = task.warning("parameters.mem_frac", parameters=old)
    assert warning.endswith("read as the flag mem-fraction-static of sglang")


def test_vllm_gets_flags_of_its_own(task: TaskWriter) -> None:
    parameters = {"tp-size": [2], "pp_size": [1], "mem_frac": [0.8]}
    assert task.flags(base_runtime="vllm", parameters=parameters) == [
        "--tensor-parallel-size 2 --pipeline-parallel-size 1 --gpu-memory-utilization 0.8"
    ]


@pytest.mark.parametrize("name", ["schedule_policy", "max-total-tokens", "mem-fraction-static"])
def test_vllm_refuses_flags_of_sglang_by_name(task: TaskWriter, name: str) -> None:
    problem = task.problem(base_runtime="vllm", parameters={name: ["lpm"]})
    assert problem.key == f"parameters.{name}"
    assert "flag of sglang" in problem.fix


def test_an_explicit_parameter_wins_over_a_derived_one_under_any_spelling(
    task: TaskWriter,
) -> None:
    changes: dict[str, Any] = {
        "parameters": {"tensor-parallel-size": [4], "kv_cache_dtype": ["auto"]},
        "quant_config": {"gemm_dtype": "bfloat16", "kvcache_dtype": "fp8_e5m2"},
        "parallel_config": {"tp": 2, "pp": 2},
    }
    assert task.flags(**changes) == [
        "--tensor-parallel-size 4 --kv_cache_dtype auto --dtype bfloat16 --pp-size 2"
    ]
    assert "kv-cache-dtype" in task.warning("quant_config", **changes)
    assert "tp-size" in task.warning("parallel_config", **changes)


def test_combinations_that_lose_their_difference_are_measured_once(task: TaskWriter) -> None:
    changes = {"parameters": {"tp-size": [2]}, "parallel_config": {"tp": [1, 2], "pp": [2]}}
    assert task.flags(**changes) == ["--tp-size 2 --pp-size 2"]
    spec = task.load(**changes)
    assert "parallel_config: its 2 combinations give 1 different servers" in spec.warnings


def test_a_section_that_sets_no_flag_says_so(task: TaskWriter) -> None:
    changes = {"quant_config": {"preset": "default"}}
    assert task.warning("quant_config", **changes).endswith("sets no flag of the engine")
    assert [axis.name for axis in task.load(**changes).axes] == ["tp-size"]
