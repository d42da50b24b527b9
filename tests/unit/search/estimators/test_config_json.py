import pytest
from model_facts import config_of

from autotuner.search.estimators.architecture import ArchitectureError
from autotuner.search.estimators.config_json import read_architecture

DEEPSEEK_V3 = config_of("deepseek-v3")
LLAMA_70B = config_of("llama-3.1-70b")
QWEN3_30B = config_of("qwen3-30b-a3b")


@pytest.mark.parametrize("key", ["hybrid_override_pattern", "block_configs"])
def test_a_model_whose_layers_are_of_several_kinds_is_refused(key):
    with pytest.raises(ArchitectureError, match=key):
        read_architecture(LLAMA_70B | {key: "M-M*"})


def test_a_window_that_is_switched_off_is_none():
    model = read_architecture(LLAMA_70B | {"sliding_window": 4096, "use_sliding_window": False})
    assert model.windowed_layers == 0


def test_sizes_of_a_model_with_images_are_those_of_its_text_part():
    wrapped = {"model_type": "mistral3", "text_config": LLAMA_70B}
    assert read_architecture(wrapped).parameters == read_architecture(LLAMA_70B).parameters


@pytest.mark.parametrize(
    ("quantization", "weights", "narrow_attention"),
    [
        ({"quant_method": "fp8"}, "fp8", True),
        ({"quant_method": "mxfp4", "modules_to_not_convert": ["x.self_attn"]}, "fp4", False),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "fp4", True),
        ({"quant_method": "fp8", "modules_to_not_convert": ["post_attention_norm"]}, "fp8", True),
        ({"quant_method": "awq", "bits": 4}, "int4", True),
        ({"quant_method": "gptq", "bits": 8}, "int8", True),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8", True),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"type": "float", "num_bits": 8}}},
                "ignore": ["lm_head"],
            },
            "fp8",
            True,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"type": "int", "num_bits": 4}}},
            },
            "int4",
            True,
        ),
    ],
)
def test_the_format_of_the_weights_is_that_of_the_quantization(
    quantization, weights, narrow_attention
):
    model = read_architecture(LLAMA_70B | {"quantization_config": quantization})
    assert (model.weights, model.narrow_attention) == (weights, narrow_attention)


def test_layers_without_experts_are_counted_as_the_model_spells_them():
    assert read_architecture(DEEPSEEK_V3).dense_layers == 3
    assert read_architecture(QWEN3_30B | {"decoder_sparse_step": 2}).dense_layers == 24
    assert read_architecture(QWEN3_30B | {"mlp_only_layers": [0, 1]}).dense_layers == 2
    assert read_architecture(QWEN3_30B | {"moe_layer_freq": [0] + [1] * 47}).dense_layers == 1


def test_a_feed_forward_part_without_a_gate_has_two_matrices():
    gated = read_architecture(LLAMA_70B).feed_forward_parameters
    assert read_architecture(LLAMA_70B | {"model_type": "opt"}).feed_forward_parameters == (
        pytest.approx(gated * 2 / 3)
    )


@pytest.mark.parametrize("missing", ["num_hidden_layers", "hidden_size", "vocab_size"])
def test_a_missing_size_is_named(missing):
    config = {name: value for name, value in LLAMA_70B.items() if name != missing}
    with pytest.raises(ArchitectureError, match=missing):
        read_architecture(config)


def test_the_longest_request_is_the_least_that_any_key_allows():
    assert read_architecture(LLAMA_70B).longest_context == 131072
    assert read_architecture(LLAMA_70B | {"model_max_length": 8192}).longest_context == 8192
    scaled = {"rope_scaling": {"rope_type": "longrope"}, "original_max_position_embeddings": 4096}
    assert read_architecture(LLAMA_70B | scaled).longest_context == 4096
    silent = {name: v for name, v in LLAMA_70B.items() if name != "max_position_embeddings"}
    assert read_architecture(silent).longest_context == 0
