import pytest
from model_facts import config_of

from autotuner.search.estimators.architecture import bytes_of
from autotuner.search.estimators.config_json import read_architecture

DEEPSEEK_V3 = config_of("deepseek-v3")
LLAMA_70B = config_of("llama-3.1-70b")
QWEN3_30B = config_of("qwen3-30b-a3b")


@pytest.mark.parametrize(
    ("config", "billions", "active"),
    [(LLAMA_70B, 70.6, 69.5), (DEEPSEEK_V3, 671, 36.6), (QWEN3_30B, 30.5, 3.0)],
)
def test_parameters_add_up_to_what_the_model_is_known_for(config, billions, active):
    model = read_architecture(config)
    assert model.parameters / 1e9 == pytest.approx(billions, rel=0.005)
    assert model.active_parameters / 1e9 == pytest.approx(active, rel=0.02)


def test_heads_of_the_cache_are_divided_until_each_gpu_has_one():
    model = read_architecture(LLAMA_70B)
    assert model.cached_values(1) == 2 * 128 * 8
    assert model.cached_values(8) == model.cached_values(16) == 2 * 128


def test_latent_attention_caches_one_vector_that_no_gpu_is_spared():
    model = read_architecture(DEEPSEEK_V3)
    assert model.cached_values(1) == model.cached_values(8) == 512 + 64


def test_windowed_layers_cache_no_more_than_their_window():
    windows = {"sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"] * 40}
    model = read_architecture(LLAMA_70B | windows)
    assert model.cached_tokens(100) == 80 * 100
    assert model.cached_tokens(1000) == 40 * 128 + 40 * 1000


def test_recurrent_layers_cache_nothing_that_grows():
    model = read_architecture(LLAMA_70B | {"full_attention_interval": 4})
    assert model.cached_tokens(1000) == 20 * 1000


def test_chosen_tokens_bound_what_is_read_and_not_what_is_kept():
    model = read_architecture(DEEPSEEK_V3 | {"index_topk": 2048})
    assert model.read_tokens(10_000) == 61 * 2048
    assert model.cached_tokens(10_000) == 61 * 10_000


def test_narrow_formats_carry_scales_unless_the_least_is_asked_for():
    assert bytes_of("fp4") > bytes_of("fp4", scales=False) == 0.5
    assert bytes_of("bf16") == 2.0
