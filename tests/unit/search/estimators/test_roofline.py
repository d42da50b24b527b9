from dataclasses import replace

import pytest
from model_facts import config_of

from autotuner.search.estimators.architecture import ArchitectureError
from autotuner.search.estimators.base import Estimate, Load, Subject, Unknown
from autotuner.search.estimators.config_json import read_architecture
from autotuner.search.estimators.roofline import Roofline

DEEPSEEK_V3 = config_of("deepseek-v3")
LLAMA_70B = config_of("llama-3.1-70b")
QWEN3_30B = config_of("qwen3-30b-a3b")

MODELS = {"llama": LLAMA_70B, "deepseek": DEEPSEEK_V3, "qwen": QWEN3_30B}


def find(model):
    if model not in MODELS:
        raise ArchitectureError(f"{model} is not here")
    return read_architecture(MODELS[model])


def subject(model="llama", gpu="H100", tensor=4, data=1, **others):
    return Subject("vllm", model, gpu, tensor * data, tensor, data_parallel=data, **others)


def estimate(load=(1024, 1024, 16), **of):
    said = Roofline(find).estimate(subject(**of), Load(*load))
    assert isinstance(said, Estimate)
    return said


def test_a_token_takes_at_least_the_time_to_read_the_weights():
    weights_s = 141e9 / 4 / 3350e9
    alone = estimate(load=(128, 128, 1))
    assert weights_s < alone.tpot_s < 3 * weights_s


def test_a_prompt_takes_at_least_the_time_to_multiply_it():
    operations_s = 2 * 70e9 * 8192 / (4 * 989e12)
    assert operations_s < estimate(load=(8192, 128, 1)).ttft_s < 4 * operations_s


def test_more_requests_in_flight_are_more_throughput_and_slower_tokens():
    levels = [estimate(load=(1024, 1024, concurrency)) for concurrency in (1, 4, 16, 64)]
    assert levels == sorted(levels, key=lambda said: said.output_throughput_tok_s)
    assert levels == sorted(levels, key=lambda said: said.tpot_s)


def test_more_tensor_parallel_gpus_are_faster_and_cost_throughput_per_gpu():
    two, eight = estimate(tensor=2), estimate(tensor=8)
    assert eight.tpot_s < two.tpot_s
    assert eight.output_throughput_tok_s / 8 < two.output_throughput_tok_s / 2


def test_replicas_multiply_the_throughput_of_one():
    one = estimate(tensor=4, load=(1024, 1024, 16))
    two = estimate(tensor=4, data=2, load=(1024, 1024, 32))
    assert two.output_throughput_tok_s == pytest.approx(2 * one.output_throughput_tok_s)
    assert two.tpot_s == pytest.approx(one.tpot_s)


def test_narrower_weights_are_read_faster():
    assert estimate(weights="fp8").tpot_s < estimate(weights="bf16").tpot_s


def test_a_faster_gpu_is_faster():
    assert estimate(gpu="H200").tpot_s < estimate(gpu="H100").tpot_s
    assert estimate(gpu="L40S").ttft_s > estimate(gpu="H100").ttft_s


def test_few_requests_touch_few_experts():
    one = estimate(model="qwen", tensor=1, load=(128, 128, 1)).tpot_s
    many = estimate(model="qwen", tensor=1, load=(128, 128, 64)).tpot_s
    all_weights_s = 61e9 / 3350e9
    assert one < 0.5 * all_weights_s < many


def test_attention_replicas_share_one_copy_of_the_experts():
    shared = estimate(model="deepseek", gpu="B200", tensor=1, data=8, expert_group=8)
    copied = estimate(model="deepseek", gpu="B200", tensor=1, data=8, expert_group=1)
    assert shared.output_throughput_tok_s > copied.output_throughput_tok_s


def test_requests_that_find_no_room_in_the_cache_wait_for_their_first_token():
    crowded = estimate(tensor=2, load=(8192, 1024, 256))
    roomy = estimate(tensor=8, load=(8192, 1024, 256))
    assert crowded.ttft_s > 10 * roomy.ttft_s
    more = estimate(tensor=2, load=(8192, 1024, 512))
    assert more.tpot_s == pytest.approx(crowded.tpot_s), "no more of them decode at once"
    assert more.output_throughput_tok_s == pytest.approx(crowded.output_throughput_tok_s)
    life_s = crowded.ttft_s + crowded.tpot_s * 1023
    assert 256 / life_s == pytest.approx(crowded.output_throughput_tok_s / 1024, rel=0.01)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"gpu": None}, "GPUs' model is not known"),
        ({"gpu": "H10"}, "did you mean H100?"),
        ({"gpu": "Cerebras"}, "no data sheet of the GPU 'Cerebras'"),
        ({"gpus": 0}, "takes no GPU"),
        ({"model": "nothing"}, "nothing is not here"),
    ],
)
def test_what_cannot_be_told_is_unknown_with_the_reason(changed, reason):
    said = Roofline(find).estimate(replace(subject(), **changed), Load(1024, 1024, 1))
    assert isinstance(said, Unknown)
    assert reason in said.reason


def test_a_models_files_are_looked_for_once():
    looked = []

    def counted(model):
        looked.append(model)
        return find(model)

    roofline = Roofline(counted)
    for _ in range(3):
        roofline.estimate(subject(), Load(1024, 1024, 1))
    assert looked == ["llama"]
