"""Public facts about models: their sizes as their config.json gives them.

Test data, so that estimators can be judged on measurements of models that are not on this machine.
"""

from __future__ import annotations

from typing import Any

from autotuner.search.estimators.architecture import Architecture
from autotuner.search.estimators.config_json import read_architecture

_DEEPSEEK_V3 = {
    "model_type": "deepseek_v3",
    "num_hidden_layers": 61,
    "hidden_size": 7168,
    "vocab_size": 129280,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "moe_layer_freq": 1,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "max_position_embeddings": 163840,
    "quantization_config": {"quant_method": "fp8"},
}
_KIMI_K2 = {
    **_DEEPSEEK_V3,
    "model_type": "kimi_k2",
    "vocab_size": 163840,
    "num_attention_heads": 64,
    "num_key_value_heads": 64,
    "n_routed_experts": 384,
    "first_k_dense_replace": 1,
    "max_position_embeddings": 131072,
}


_QWEN35 = {
    "model_type": "qwen3_5_moe_text",
    "num_hidden_layers": 60,
    "hidden_size": 4096,
    "vocab_size": 248320,
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "num_experts": 512,
    "num_experts_per_tok": 10,
    "moe_intermediate_size": 1024,
    "shared_expert_intermediate_size": 1024,
    "full_attention_interval": 4,
    "max_position_embeddings": 262144,
}
_GLM5 = {
    "model_type": "glm_moe_dsa",
    "num_hidden_layers": 78,
    "hidden_size": 6144,
    "vocab_size": 154880,
    "num_attention_heads": 64,
    "num_key_value_heads": 64,
    "intermediate_size": 12288,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "moe_layer_freq": 1,
    "q_lora_rank": 2048,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 192,
    "qk_rope_head_dim": 64,
    "v_head_dim": 256,
    "index_topk": 2048,
    "max_position_embeddings": 202752,
}


def _dense(
    layers: int, hidden: int, heads: int, intermediate: int, vocabulary: int
) -> dict[str, Any]:
    return {
        "model_type": "llama" if vocabulary == 128256 else "qwen3",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "vocab_size": vocabulary,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": intermediate,
        "max_position_embeddings": 131072 if vocabulary == 128256 else 40960,
    }


def _qwen3_moe(layers: int, hidden: int, heads: int, each: int) -> dict[str, Any]:
    return {
        "model_type": "qwen3_moe",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "vocab_size": 151936,
        "num_attention_heads": heads,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "intermediate_size": 3 * hidden,
        "moe_intermediate_size": each,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "max_position_embeddings": 40960,
    }


_CONFIGS = {
    "deepseek-r1": _DEEPSEEK_V3,
    "deepseek-v3": _DEEPSEEK_V3,
    "deepseek-v3.2": {**_DEEPSEEK_V3, "model_type": "deepseek_v32", "index_topk": 2048},
    "glm-5": _GLM5,
    "kimi-k2": _KIMI_K2,
    "llama-3.1-8b": _dense(32, 4096, 32, 14336, 128256),
    "llama-3.1-70b": _dense(80, 8192, 64, 28672, 128256),
    "llama-3.3-70b": _dense(80, 8192, 64, 28672, 128256),
    "llama-3.1-405b": _dense(126, 16384, 128, 53248, 128256),
    "qwen3-8b": _dense(36, 4096, 32, 12288, 151936),
    "qwen3-32b": _dense(64, 5120, 64, 25600, 151936),
    "qwen3-coder-480b-a35b": {
        **_qwen3_moe(62, 6144, 96, 2560),
        "num_key_value_heads": 8,
        "num_experts": 160,
    },
    "qwen3-30b-a3b": _qwen3_moe(48, 2048, 32, 768),
    "qwen3-235b-a22b": _qwen3_moe(94, 4096, 64, 1536),
    "qwen3.5-397b-a17b": _QWEN35,
    "gpt-oss-120b": {
        "model_type": "gpt_oss",
        "num_hidden_layers": 36,
        "hidden_size": 2880,
        "vocab_size": 201088,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "intermediate_size": 2880,
        "num_local_experts": 128,
        "num_experts_per_tok": 4,
        "sliding_window": 128,
        "layer_types": ["sliding_attention", "full_attention"] * 18,
        "max_position_embeddings": 131072,
        "quantization_config": {
            "quant_method": "mxfp4",
            "modules_to_not_convert": ["model.layers.*.self_attn"],
        },
    },
    "minimax-m2": {
        "model_type": "minimax_m2",
        "num_hidden_layers": 62,
        "hidden_size": 3072,
        "vocab_size": 200064,
        "num_attention_heads": 48,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 1536,
        "num_local_experts": 256,
        "num_experts_per_tok": 8,
        "max_position_embeddings": 196608,
        "quantization_config": {"quant_method": "fp8"},
    },
    "mixtral-8x22b": {
        "model_type": "mixtral",
        "num_hidden_layers": 56,
        "hidden_size": 6144,
        "vocab_size": 32768,
        "num_attention_heads": 48,
        "num_key_value_heads": 8,
        "intermediate_size": 16384,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "max_position_embeddings": 65536,
    },
    "mixtral-8x7b": {
        "model_type": "mixtral",
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "vocab_size": 32000,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "max_position_embeddings": 32768,
    },
}


def config_of(model: str) -> dict[str, Any] | None:
    """What is known of a model's config.json, by its name on the hub; None: nothing."""
    name = model.lower()
    found = [known for known in _CONFIGS if known in name]
    return dict(_CONFIGS[max(found, key=len)]) if found else None


def facts_of(model: str) -> Architecture | None:
    """The sizes of a model by its name on the hub; None: not among those known here."""
    config = config_of(model)
    return None if config is None else read_architecture(config)
