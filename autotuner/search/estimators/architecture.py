"""The sizes of a transformer, read from its ``config.json``: what it weighs, what a token costs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Architecture", "ArchitectureError", "Latent", "bytes_of", "read_architecture"]

_ATTENTION = re.compile(r"(?:attn|attention)(?!.*norm)")
"""Modules of the attention by their name, its norms not among them."""
_MIXED = ("hybrid_override_pattern", "block_configs", "layers_block_type")
"""Keys of models whose layers have nothing in common that could be counted."""
_BYTES = {"bf16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5, "int4": 0.5}
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
_SCALES = {"fp4": 0.0625, "int4": 0.03125}
"""Bytes per value of the scales that groups of such values share: fp8 for 16, 16 bit for 64."""


class ArchitectureError(ValueError):
    """A model's config.json does not say what is needed."""


def bytes_of(number_format: str, *, scales: bool = True) -> float:
    """Bytes of one value; without scales: at least so many."""
    return _BYTES[number_format] + (_SCALES.get(number_format, 0.0) if scales else 0.0)


@dataclass(frozen=True, slots=True)
class Latent:
    """Sizes of latent attention (MLA), which caches one compressed vector per token."""

    query_rank: int
    """0: queries are not compressed."""
    cache_rank: int
    rope: int
    nope: int
    value: int


@dataclass(frozen=True, slots=True)
class Architecture:
    """A decoder as far as its speed and its memory depend on it."""

    layers: int
    hidden: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    """Of the feed-forward part of layers without experts."""
    experts: int = 0
    """Per layer; 0: none."""
    experts_per_token: int = 0
    expert_intermediate: int = 0
    shared_intermediate: int = 0
    """Of the experts that every token takes, together."""
    dense_layers: int = 0
    """Layers without experts, where the others have them."""
    latent: Latent | None = None
    window: int = 0
    """Tokens that a windowed layer looks back."""
    attended: int = 0
    """Tokens that the others look at, at most, chosen among all of them; 0: all."""
    windowed_layers: int = 0
    weights: str = "bf16"
    """Number format of the stored weights."""
    narrow_attention: bool = True
    """Whether the attention's weights have that format, too; embeddings never have."""
    longest_context: int = 0
    """Tokens of one request at most, as the model has it; 0: not known."""
    tied_embeddings: bool = False
    gated: bool = True
    """Whether a feed-forward part has three matrices rather than two."""
    known: bool = False
    """Whether all of its layers are known to be made as they are counted here."""
    stored_bytes: float = 0.0
    """Of the files of its weights; 0: they are not on this machine."""

    @property
    def expert_layers(self) -> int:
        return self.layers - self.dense_layers if self.experts else 0

    @property
    def attention_parameters(self) -> float:
        """Of one layer."""
        if (latent := self.latent) is None:
            width = self.head_size * (2 * self.heads + 2 * self.kv_heads)
            return float(self.hidden * width)
        query_heads = self.heads * (latent.nope + latent.rope)
        query = self.hidden * query_heads
        if latent.query_rank:
            query = latent.query_rank * (self.hidden + query_heads)
        cached = self.hidden * (latent.cache_rank + latent.rope)
        expanded = latent.cache_rank * self.heads * (latent.nope + latent.value)
        return float(query + cached + expanded + self.heads * latent.value * self.hidden)

    @property
    def expert_parameters(self) -> float:
        """Of one expert of one layer."""
        return self._matrices * self.hidden * self.expert_intermediate

    @property
    def shared_parameters(self) -> float:
        """Of what every token takes in a layer with experts: shared experts and the router."""
        shared = self._matrices * self.hidden * self.shared_intermediate
        return shared + self.hidden * self.experts

    @property
    def feed_forward_parameters(self) -> float:
        """Of one layer without experts."""
        return self._matrices * self.hidden * self.intermediate

    @property
    def _matrices(self) -> float:
        return 3.0 if self.gated else 2.0

    @property
    def embedding_parameters(self) -> float:
        """Of the input's and the output's embedding."""
        return float(self.hidden * self.vocabulary * (1 if self.tied_embeddings else 2))

    @property
    def parameters(self) -> float:
        """All of them; without norms, biases and layers that predict several tokens ahead."""
        dense = self.layers - self.expert_layers
        experts = self.experts * self.expert_parameters + self.shared_parameters
        return (
            self.layers * self.attention_parameters
            + dense * self.feed_forward_parameters
            + self.expert_layers * experts
            + self.embedding_parameters
        )

    @property
    def active_parameters(self) -> float:
        """That one token is multiplied with, the output's embedding among them."""
        dense = self.layers - self.expert_layers
        taken = self.experts_per_token * self.expert_parameters + self.shared_parameters
        return (
            self.layers * self.attention_parameters
            + dense * self.feed_forward_parameters
            + self.expert_layers * taken
            + float(self.hidden * self.vocabulary)
        )

    def cached_values(self, tensor_parallel: int) -> float:
        """Numbers that one token leaves in the KV cache of one layer of each GPU of a group.

        Heads are divided among the GPUs as far as there are enough; a latent vector is not.
        """
        if self.latent is not None:
            return float(self.latent.cache_rank + self.latent.rope)
        return 2.0 * self.head_size * math.ceil(self.kv_heads / tensor_parallel)

    def cached_tokens(self, tokens: float) -> float:
        """Sum over the layers of the tokens that each of them caches of a request."""
        windowed = min(tokens, float(self.window)) * self.windowed_layers
        return tokens * (self.layers - self.windowed_layers) + windowed

    def read_tokens(self, tokens: float) -> float:
        """As `cached_tokens`: those that one more token has to look at."""
        return self.cached_tokens(min(tokens, float(self.attended)) if self.attended else tokens)


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
        longest_context=_size(text, "max_position_embeddings", "n_positions", default=0),
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
