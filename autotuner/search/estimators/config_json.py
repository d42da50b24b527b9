"""Reads a transformer's sizes from the content of its ``config.json``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from autotuner.search.estimators.architecture import Architecture, ArchitectureError, Latent

__all__ = ["read_architecture"]

_ATTENTION = re.compile(r"(?:attn|attention)(?!.*norm)")
"""Modules of the attention by their name, its norms not among them."""
_LENGTHS = (
    *("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length"),
    *("max_sequence_length", "max_seq_length", "seq_len"),
)
"""Keys by which models say how long a request may be."""
_MIXED = ("hybrid_override_pattern", "block_configs", "layers_block_type")
"""Keys of models whose layers have nothing in common that could be counted."""
_KNOWN = frozenset(
    {
        *("llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe"),
        *("deepseek_v2", "deepseek_v3", "kimi_k2", "gpt_oss", "gemma", "gemma2", "gemma3_text"),
        *("phi3", "glm4", "glm4_moe", "minimax_m2", "cohere", "cohere2", "olmo"),
        *("olmo2", "granite", "internlm2", "internlm3", "exaone4", "ernie4_5", "ernie4_5_moe"),
    }
)
"""``model_type`` of decoders whose layers are all made as `Architecture` counts them."""
_TWO_MATRICES = frozenset(
    {
        *("gpt2", "gpt_neo", "gpt_neox", "gptj", "opt", "bloom", "falcon"),
        *("gpt_bigcode", "starcoder2", "phi", "mpt", "nemotron"),
    }
)
"""Those whose feed-forward part has no gate."""
_RECURRENT = ("linear_attention", "mamba", "recurrent")
_WINDOWED = ("sliding_attention", "chunked_attention")


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """The sizes in a model's configuration.

    Raises:
        ArchitectureError: it lacks one, or the model is of another kind.
    """
    nested = config.get("text_config") or config.get("llm_config")
    text = {**config, **nested} if isinstance(nested, Mapping) else config
    if mixed := [name for name in _MIXED if name in text]:
        raise ArchitectureError(f"its layers are of several kinds ({mixed[0]})")
    heads = _size(text, "num_attention_heads", "n_head", "num_heads")
    hidden = _size(text, "hidden_size", "n_embd", "d_model")
    layers = _size(text, "num_hidden_layers", "n_layer", "num_layers")
    experts = _size(
        text, "n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts", default=0
    )
    intermediate = _size(text, "intermediate_size", "ffn_hidden_size", "n_inner", default=0)
    intermediate = intermediate or 4 * hidden
    each = _size(text, "moe_intermediate_size", "expert_ffn_hidden_size", default=intermediate)
    window, windowed = _windows(text, layers)
    number_format, narrow = _stored_format(text)
    kind = text.get("model_type")
    return Architecture(
        layers=layers,
        hidden=hidden,
        vocabulary=_size(text, "vocab_size", "padded_vocab_size"),
        heads=heads,
        kv_heads=_size(
            text, "num_key_value_heads", "num_kv_heads", "multi_query_group_num", default=heads
        ),
        head_size=_size(text, "head_dim", "kv_channels", default=hidden // heads),
        intermediate=_size(text, "intermediate_size_mlp", default=intermediate),
        experts=experts,
        experts_per_token=_experts_per_token(text) if experts else 0,
        expert_intermediate=each if experts else 0,
        shared_intermediate=_shared(text, each) if experts else 0,
        dense_layers=_dense_layers(text, layers) if experts else 0,
        latent=_latent(text),
        window=window,
        attended=_size(text, "index_topk", default=0),
        windowed_layers=windowed,
        weights=number_format,
        narrow_attention=narrow,
        longest_context=_longest(text),
        tied_embeddings=bool(text.get("tie_word_embeddings", False)),
        gated=kind not in _TWO_MATRICES,
        known=kind in _KNOWN,
    )


def _size(config: Mapping[str, Any], *names: str, default: int | None = None) -> int:
    for name in names:
        value = config.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
    if default is None:
        raise ArchitectureError(f"config.json has no {names[0]}")
    return default


def _experts_per_token(text: Mapping[str, Any]) -> int:
    return _size(text, "num_experts_per_tok", "experts_per_token", "moe_topk", "moe_top_k")


def _shared(text: Mapping[str, Any], expert_intermediate: int) -> int:
    # Several spellings of the same; Llama 4 has one shared expert and does not say so.
    number = _size(text, "n_shared_experts", "num_shared_experts", default=0)
    if text.get("model_type") in ("llama4", "llama4_text"):
        number = 1
    return _size(
        text,
        "shared_expert_intermediate_size",
        "shared_intermediate_size",
        default=number * expert_intermediate,
    )


def _dense_layers(text: Mapping[str, Any], layers: int) -> int:
    every = _size(
        text, "moe_layer_freq", "decoder_sparse_step", "interleave_moe_layer_step", default=1
    )
    pattern = text.get("moe_layer_freq")
    if isinstance(pattern, list):
        return layers - sum(1 for one in pattern[:layers] if one)
    first = _size(text, "first_k_dense_replace", "moe_layer_start_index", default=0)
    listed = text.get("mlp_only_layers")
    only = len(listed) if isinstance(listed, list) else 0
    with_experts = math.ceil((layers - first - only) / max(1, every))
    return layers - with_experts


def _longest(text: Mapping[str, Any]) -> int:
    """The least of what the keys say; 0: they say nothing."""
    found = [_size(text, name, default=0) for name in _LENGTHS]
    scaling = text.get("rope_scaling") or text.get("rope_parameters")
    scaling = scaling if isinstance(scaling, Mapping) else {}
    if "longrope" in (scaling.get("rope_type"), scaling.get("type")):
        # Servers keep to the length without scaling, unless they are asked for more.
        found.append(_size({**text, **scaling}, "original_max_position_embeddings", default=0))
    return min((length for length in found if length > 0), default=0)


def _latent(text: Mapping[str, Any]) -> Latent | None:
    if not text.get("kv_lora_rank"):
        return None
    return Latent(
        query_rank=_size(text, "q_lora_rank", default=0),
        cache_rank=_size(text, "kv_lora_rank"),
        rope=_size(text, "qk_rope_head_dim"),
        nope=_size(text, "qk_nope_head_dim"),
        value=_size(text, "v_head_dim"),
    )


def _windows(text: Mapping[str, Any], layers: int) -> tuple[int, int]:
    """The window, and how many layers have it; recurrent layers look back 0 tokens."""
    window = _size(text, "sliding_window", default=0)
    kinds = text.get("layer_types")
    if isinstance(kinds, list):
        recurrent = sum(kind in _RECURRENT for kind in kinds[:layers])
        windowed = sum(kind in _WINDOWED for kind in kinds[:layers])
        return (0, recurrent) if recurrent else (window, windowed)
    every = _size(text, "full_attention_interval", default=0)
    if every > 1:
        return 0, layers - layers // every
    if not window or text.get("use_sliding_window") is False:
        return 0, 0
    pattern = _size(text, "sliding_window_pattern", default=0)
    return window, layers - layers // pattern if pattern > 1 else layers


def _stored_format(config: Mapping[str, Any]) -> tuple[str, bool]:
    """Number format of the weights, and whether the attention has it, too."""
    quantization = config.get("quantization_config")
    if not isinstance(quantization, Mapping):
        dtype = str(config.get("torch_dtype") or config.get("dtype") or "")
        return ("fp8" if "float8" in dtype else "bf16"), True
    kept = quantization.get("modules_to_not_convert") or quantization.get("ignore") or ()
    narrow = not any(_ATTENTION.search(str(module)) for module in kept)
    return _quantized_format(quantization), narrow


def _quantized_format(quantization: Mapping[str, Any]) -> str:
    words = " ".join(
        str(quantization.get(key, "")) for key in ("quant_method", "quant_algo", "format", "bits")
    ).lower()
    groups = quantization.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, Mapping) else None
    weights = first.get("weights") if isinstance(first, Mapping) else None
    if isinstance(weights, Mapping):
        kind = "fp" if weights.get("type") == "float" else "int"
        return f"{kind}{4 if weights.get('num_bits') == 4 else 8}"
    for mark, number_format in (("fp4", "fp4"), ("fp8", "fp8")):
        if mark in words:
            return number_format
    if quantization.get("load_in_8bit") or "8" in words.split() or "int8" in words:
        return "int8"
    return "int4"
