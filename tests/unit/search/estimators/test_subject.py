import pytest

from autotuner.errors import PlanError
from autotuner.search.estimators.base import Load
from autotuner.search.estimators.subject import load_of, subject_of
from autotuner.spec.server import Footprint, Model, ServerConfig
from autotuner.spec.workload import Level, StopRule, Workload


def subject(engine, gpus=8, gpu=None, gpu_type=None, **flags):
    flags = {name.replace("_", "-"): value for name, value in flags.items()}
    server = ServerConfig(engine, Model("/models/m", "/models/m"), flags)
    return subject_of(server, Footprint(gpus, gpu_type=gpu_type), gpu=gpu)


def sizes(of):
    return (of.tensor_parallel, of.data_parallel, of.expert_parallel, of.experts_over)


def test_vllm_divides_experts_over_all_replicas_and_keeps_them_whole_if_asked():
    assert sizes(subject("vllm", tensor_parallel_size=8)) == (8, 1, 1, 8)
    spread = {"tensor_parallel_size": 2, "data_parallel_size": 4}
    assert sizes(subject("vllm", **spread)) == (2, 4, 1, 8)
    assert sizes(subject("vllm", **spread, enable_expert_parallel=True)) == (2, 4, 8, 8)


def test_replicas_of_sglang_are_whole_servers_unless_they_share_the_attention():
    assert sizes(subject("sglang", tp_size=4, dp_size=2)) == (4, 2, 1, 4)
    assert sizes(subject("sglang", tp=8, dp=8, enable_dp_attention=True, ep_size=8)) == (1, 8, 8, 8)


def test_every_spelling_of_a_size_is_read():
    assert subject("vllm", **{"-tp": 4, "-pp": 2}).pipeline_parallel == 2
    assert subject("sglang", tensor_parallel_size=4).tensor_parallel == 4


def test_the_gpu_is_the_one_that_was_found_or_else_the_one_that_was_asked_for():
    assert subject("vllm", gpu_type="H100").gpu == "H100"
    assert subject("vllm", gpu="NVIDIA H200", gpu_type="H100").gpu == "NVIDIA H200"
    assert subject("vllm").gpu is None


@pytest.mark.parametrize(
    ("flags", "weights", "cache"),
    [
        ({}, None, None),
        ({"quantization": "fp8"}, "fp8", None),
        ({"quantization": "awq"}, None, None),
        ({"-q": "modelopt_fp4"}, "fp4", None),
        ({"kv_cache_dtype": "fp8_e5m2"}, None, "fp8"),
        ({"kv_cache_dtype": "auto"}, None, None),
        ({"kv_cache_dtype": "bfloat16"}, None, "bf16"),
    ],
)
def test_formats_are_read_from_flags_and_left_open_where_the_model_decides(flags, weights, cache):
    of = subject("vllm", **flags)
    assert (of.weights, of.kv_cache) == (weights, cache)


def test_a_size_that_is_none_is_refused():
    with pytest.raises(PlanError, match="tp-size = 'two'"):
        subject("sglang", tp_size="two")


def test_a_load_has_the_tokens_of_its_scenario():
    workload = Workload("chat", "D(100,50)", (4,), StopRule(10))
    assert load_of(workload, Level("chat", "D(100,50)", 4)) == Load(100, 50, 4)
