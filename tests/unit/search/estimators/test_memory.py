from dataclasses import replace

import pytest
from model_facts import config_of

from autotuner.search.estimators.base import Subject
from autotuner.search.estimators.config_json import read_architecture
from autotuner.search.estimators.roofline import Roofline

DEEPSEEK_V3 = config_of("deepseek-v3")
LLAMA_70B = config_of("llama-3.1-70b")


def misfit(
    sizes=LLAMA_70B,
    gpu="H100",
    tensor=1,
    engine="vllm",
    data=1,
    stored_bytes=0.0,
    of=None,
    **flags,
):
    flags = {name.replace("_", "-"): value for name, value in flags.items()}
    model = replace(read_architecture(sizes), stored_bytes=stored_bytes)
    group = tensor * data
    subject = Subject(
        engine, "m", gpu, group, tensor, data_parallel=data, expert_group=group, flags=flags
    )
    return Roofline(lambda _: model).misfit(replace(subject, **(of or {})))


def test_weights_that_are_larger_than_the_memory_cannot_fit_and_the_numbers_say_so():
    said = misfit(tensor=1, max_model_len=4096).arithmetic
    assert "weights 141.1 GB" in said
    assert "one request of 4,096 tokens 1.3 GB" in said
    assert "more than 0.95 of a H100's 85.9 GB = 81.6 GB" in said


def test_weights_are_divided_among_the_gpus_of_a_group():
    assert misfit(tensor=4, max_model_len=4096) is None
    assert "(tensor 2 parallel)" in misfit(gpu="L40S", tensor=2, max_model_len=4096).arithmetic


def test_replicas_do_not_divide_the_weights():
    assert misfit(tensor=1, data=8) is not None


def test_experts_are_divided_among_all_replicas_where_these_share_them():
    assert misfit(DEEPSEEK_V3, gpu="H200", tensor=1, data=8, max_model_len=4096) is None
    alone = {"expert_group": 1}
    assert misfit(DEEPSEEK_V3, gpu="H200", data=8, max_model_len=4096, of=alone) is not None


def test_the_cache_must_hold_the_longest_request_of_vllm():
    assert misfit(tensor=2, gpu="H100", max_model_len=8192) is None
    whole = misfit(tensor=2, gpu="H100")
    assert "one request of 131,072 tokens 21.5 GB are 92.0 GB" in whole.arithmetic


def test_sglang_starts_also_where_its_longest_request_would_not_fit():
    assert misfit(tensor=2, gpu="H100", engine="sglang") is None
    assert misfit(tensor=1, gpu="H100", engine="sglang") is not None


def test_no_more_is_used_than_the_flag_allows():
    assert misfit(tensor=2, max_model_len=8192, gpu_memory_utilization=0.8) is not None
    assert misfit(tensor=2, engine="sglang", mem_fraction_static=0.7) is not None


def test_weights_that_are_narrowed_at_load_fit_sooner():
    assert misfit(tensor=1, gpu="H200", max_model_len=32768) is not None
    assert misfit(tensor=1, gpu="H200", max_model_len=32768, of={"weights": "fp8"}) is None


@pytest.mark.parametrize(
    "flag", ["cpu_offload_gb", "kv_transfer_config", "hf_overrides", "load_format", "config"]
)
def test_in_doubt_it_fits(flag):
    assert misfit(tensor=1, max_model_len=4096) is not None
    assert misfit(tensor=1, max_model_len=4096, **{flag: "x"}) is None


def test_a_length_that_the_engine_chooses_itself_always_fits():
    assert misfit(tensor=2, max_model_len=-1) is None
    assert misfit(tensor=2, max_model_len="auto") is None


def test_a_model_of_an_unknown_kind_is_judged_by_its_files_alone():
    strange = LLAMA_70B | {"model_type": "nemotron_h"}
    assert misfit(strange, tensor=1, max_model_len=4096) is None
    assert misfit(strange, tensor=1, max_model_len=4096, stored_bytes=141e9) is not None


def test_files_that_hold_less_than_was_counted_are_believed():
    assert misfit(tensor=1, max_model_len=4096, stored_bytes=60e9) is None


def test_a_narrow_cache_that_a_quantized_model_may_ask_for_is_given_the_benefit():
    quantized = LLAMA_70B | {"quantization_config": {"quant_method": "fp8"}}
    wide = {"kv_cache": "bf16"}
    lengths = {"tensor": 1, "gpu": "H100", "max_model_len": 32768}
    assert misfit(quantized, **lengths, of=wide) is not None
    assert misfit(quantized, **lengths) is None


@pytest.mark.parametrize("engine", ["custom", "sim", "trtllm"])
def test_engines_whose_memory_is_not_known_are_not_judged(engine):
    assert misfit(tensor=1, engine=engine) is None
