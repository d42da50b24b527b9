"""``quant_config`` becomes real flags, or is refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import TaskWriter


def flags(task: TaskWriter, engine: str, **config: Any) -> list[str]:
    return task.flags(base_runtime=engine, parameters=None, quant_config=config)


@pytest.mark.parametrize(
    ("engine", "preset", "expected"),
    [
        ("vllm", "kv-cache-fp8", "--kv-cache-dtype fp8_e5m2"),
        ("vllm", "dynamic-fp8", "--quantization fp8 --kv-cache-dtype fp8_e5m2"),
        ("vllm", "bf16-stable", "--dtype bfloat16 --kv-cache-dtype fp8_e5m2"),
        ("sglang", "kv-cache-fp8", "--kv-cache-dtype fp8_e5m2"),
        (
            "sglang",
            "dynamic-fp8",
            "--quantization fp8 --kv-cache-dtype fp8_e5m2 --attention-backend flashinfer",
        ),
        ("sglang", "bf16-stable", "--dtype bfloat16 --kv-cache-dtype fp8_e5m2"),
        (
            "sglang",
            "aggressive-moe",
            "--dtype bfloat16 --kv-cache-dtype fp8_e5m2 --attention-backend flashinfer "
            "--quantization w4afp8 --moe-runner-backend flashinfer_mxfp4",
        ),
    ],
)
def test_presets_give_real_flags(task: TaskWriter, engine: str, preset: str, expected: str) -> None:
    assert flags(task, engine, preset=preset) == [expected]


def test_several_presets_are_points_of_one_axis(task: TaskWriter) -> None:
    assert flags(task, "vllm", presets=["kv-cache-fp8", "bf16-stable"]) == [
        "--kv-cache-dtype fp8_e5m2",
        "--dtype bfloat16 --kv-cache-dtype fp8_e5m2",
    ]


def test_a_field_wins_over_the_presets(task: TaskWriter) -> None:
    found = flags(task, "vllm", preset="bf16-stable", kvcache_dtype="fp8_e4m3")
    assert found == ["--dtype bfloat16 --kv-cache-dtype fp8_e4m3"]


def test_lists_of_fields_are_combined(task: TaskWriter) -> None:
    found = flags(task, "vllm", gemm_dtype=["float16", "fp8"], kvcache_dtype=["auto", "fp8"])
    assert found == [
        "--dtype float16",
        "--dtype float16 --kv-cache-dtype fp8",
        "--quantization fp8",
        "--quantization fp8 --kv-cache-dtype fp8",
    ]


def test_the_type_of_the_whole_model_covers_attention_and_experts(task: TaskWriter) -> None:
    found = flags(
        task, "vllm", gemm_dtype="bfloat16", attention_dtype="bfloat16", moe_dtype="bfloat16"
    )
    assert found == ["--dtype bfloat16"]


def test_sglang_takes_fp8_of_the_cache_as_e5m2_and_says_so(task: TaskWriter) -> None:
    assert flags(task, "sglang", kvcache_dtype="fp8") == ["--kv-cache-dtype fp8_e5m2"]
    changes = {"quant_config": {"kvcache_dtype": "fp8"}}
    assert "is fp8_e5m2" in task.warning("quant_config.kvcache_dtype", **changes)


def test_a_model_that_is_quantised_already_is_not_quantised_again(task: TaskWriter) -> None:
    changes: dict[str, Any] = {
        "model": {"id_or_path": "org/model-AWQ"},
        "quant_config": {"gemm_dtype": "fp8", "kvcache_dtype": "fp8_e5m2"},
        "parameters": None,
    }
    assert task.flags(**changes) == ["--kv-cache-dtype fp8_e5m2"]
    assert "quantised already" in task.warning("quant_config.gemm_dtype", **changes)


@pytest.mark.parametrize(
    ("engine", "config", "named"),
    [
        ("sglang", {"gemm_dtype": "int8"}, "gemm_dtype int8: sglang"),
        ("vllm", {"gemm_dtype": "int8"}, "gemm_dtype int8: vllm"),
        ("sglang", {"kvcache_dtype": "bfloat16"}, "kvcache_dtype bfloat16: sglang"),
        ("vllm", {"kvcache_dtype": "int4"}, "kvcache_dtype int4: vllm"),
        ("vllm", {"attention_dtype": "fp8"}, "attention_dtype fp8: vllm"),
        ("sglang", {"attention_dtype": "fp8_block"}, "attention_dtype fp8_block: sglang"),
        ("vllm", {"moe_dtype": "mxfp4"}, "moe_dtype mxfp4: vllm"),
        ("sglang", {"moe_dtype": "fp8"}, "moe_dtype fp8: sglang"),
        ("sglang", {"gemm_dtype": "fp8", "moe_dtype": "mxfp4"}, "gemm_dtype fp8 sets it too"),
    ],
)
def test_what_an_engine_cannot_do_is_refused_by_name(
    task: TaskWriter, engine: str, config: dict[str, Any], named: str
) -> None:
    assert named in task.problem(base_runtime=engine, quant_config=config).fix


def test_a_preset_that_an_engine_cannot_do_is_refused_by_its_name(task: TaskWriter) -> None:
    problems = task.problems(base_runtime="vllm", quant_config={"preset": "aggressive-moe"})
    fixes = [problem.fix for problem in problems]
    assert len(fixes) == 2
    assert all("(preset aggressive-moe): vllm" in fix for fix in fixes)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"preset": "dynamic-fp9"}, "did you mean `dynamic-fp8`?"),
        ({"presets": ["nothing-like-it"]}, "allowed: default, kv-cache-fp8, dynamic-fp8"),
        ({"preset": "default", "presets": ["default"]}, "name all presets in `presets`"),
        ({"presets": []}, "the list is empty"),
        ({"gemm_dtype": []}, "the list is empty"),
        ({"gemm_dtype": "bfloat"}, "did you mean bfloat16?"),
        ({"gemm_dtype": 8}, "unknown type of numbers"),
        ("default", "write a mapping"),
    ],
)
def test_what_is_no_quantisation_is_refused(task: TaskWriter, config: Any, words: str) -> None:
    assert words in task.problem(quant_config=config).fix
