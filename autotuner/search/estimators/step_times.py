"""How long one step of a server takes: bytes over bandwidth, operations over compute, and waits.

Decoding reads the weights once per step, of the experts those that the batch touches, and the KV
cache of every request. A prompt is bound by compute. Tensor parallel layers end in two all-reduces.
On top comes what neither bandwidth nor compute explains: kernels that start one after the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from autotuner.search.estimators.architecture import Architecture, bytes_of
from autotuner.search.estimators.gpu_sheets import GpuSheet

__all__ = [
    "Efficiency",
    "Layout",
    "decode_step_s",
    "prefill_s",
    "request_cache_bytes",
    "weight_bytes",
]

_EMBEDDING_BYTES = 2.0
_ACTIVATION_BYTES = 2.0


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How far a server stays behind the data sheets."""

    memory: float
    """Share of the peak bandwidth."""
    compute: float
    """Share of the peak operations of a long prompt."""
    links: float
    """Share of the interconnect's bandwidth in one direction."""
    layer_s: float
    """Of every layer of every step."""
    expert_layer_s: float
    """On top, of a layer with experts."""
    reduce_s: float
    """Of one all-reduce of nearly nothing, for each doubling of its GPUs."""
    request_s: float
    """Of every request in a step: sampling, detokenizing, scheduling."""
    interruption: float
    """Share of a prompt's time by which it holds up those that decode."""
    queue: float
    """Share of the prompts in flight that a new one waits for."""
    first_token_s: float
    """Of every request before its prompt begins."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a model's parts lie, and in which formats."""

    architecture: Architecture
    sheet: GpuSheet
    tensor: int
    pipeline: int
    data: int
    experts_over: int
    """GPUs that share one copy of a layer's experts."""
    weights: str
    narrow_attention: bool
    cache_bytes: float
    """Of one number in the KV cache."""

    @property
    def attention_bytes(self) -> float:
        """Of one weight of the attention."""
        return bytes_of(self.weights if self.narrow_attention else "bf16")

    def flops(self, number_format: str) -> float:
        return self.sheet.flops(number_format)


def request_cache_bytes(layout: Layout, tokens: float) -> float:
    """Bytes of one request's KV cache on each GPU of its replica."""
    return _cache_bytes(layout, layout.architecture.cached_tokens(tokens))


def _cache_bytes(layout: Layout, tokens_of_layers: float) -> float:
    each = layout.architecture.cached_values(layout.tensor) * layout.cache_bytes
    return tokens_of_layers * each / layout.pipeline


def weight_bytes(layout: Layout, *, scales: bool = True) -> float:
    """Bytes of weights on each GPU; without scales: at least so many."""
    model = layout.architecture
    weight = bytes_of(layout.weights, scales=scales)
    attention = bytes_of(layout.weights if layout.narrow_attention else "bf16", scales=scales)
    plain = (model.layers - model.expert_layers) * model.feed_forward_parameters
    plain += model.expert_layers * model.shared_parameters
    replicated = model.layers * model.attention_parameters * attention + plain * weight
    experts = model.expert_layers * model.experts * model.expert_parameters * weight
    embeddings = model.embedding_parameters * _EMBEDDING_BYTES
    return (
        replicated / layout.tensor + experts / layout.experts_over + embeddings / layout.tensor
    ) / layout.pipeline


def decode_step_s(layout: Layout, batch: float, context: float, how: Efficiency) -> float:
    """Seconds in which each of ``batch`` requests of a replica gets one token.

    Args:
        context: Tokens that a request looks back on.
    """
    cached = _cache_bytes(layout, layout.architecture.read_tokens(context))
    memory = _read_bytes(layout, batch) + batch * cached
    work = _operations(layout, batch) / how.compute
    waits = how.request_s * batch + _waits(layout, batch, how)
    return memory / (1e9 * layout.sheet.bandwidth_gb_s * how.memory) + work + waits


def prefill_s(layout: Layout, tokens: float, how: Efficiency) -> float:
    """Seconds of one prompt on its replica, with nothing else to do."""
    model = layout.architecture
    looked_at = tokens * model.read_tokens(tokens / 2) / model.layers
    pairs = 4.0 * model.heads * model.head_size * model.layers * looked_at
    if (latent := model.latent) is not None:
        sizes = latent.nope + latent.rope + latent.value
        pairs = 2.0 * model.heads * sizes * model.layers * looked_at
    attention = pairs / (layout.tensor * layout.flops("bf16"))
    work = (_operations(layout, tokens) + attention) / how.compute
    read = _read_bytes(layout, tokens) / (1e9 * layout.sheet.bandwidth_gb_s * how.memory)
    return max(work, read) + _waits(layout, tokens, how)


def _read_bytes(layout: Layout, batch: float) -> float:
    """Bytes of weights that each GPU reads in a step with so many tokens per replica."""
    model = layout.architecture
    weight = bytes_of(layout.weights)
    attention = model.layers * model.attention_parameters * layout.attention_bytes
    plain = (model.layers - model.expert_layers) * model.feed_forward_parameters
    shared = model.expert_layers * model.shared_parameters
    output = model.hidden * model.vocabulary * _EMBEDDING_BYTES
    total = attention + (plain + shared) * weight
    whole = total / (layout.tensor * layout.pipeline) + output / layout.tensor
    if not model.experts:
        return whole
    together = batch * max(1.0, layout.experts_over / layout.tensor)
    taken = 1.0 - math.pow(1.0 - model.experts_per_token / model.experts, together)
    experts = model.expert_layers * model.experts * taken * model.expert_parameters * weight
    return whole + experts / (layout.experts_over * layout.pipeline)


def _operations(layout: Layout, tokens: float) -> float:
    """Seconds that each GPU multiplies for so many tokens of its replica, at its peak."""
    model = layout.architecture
    attention = 2.0 * tokens * model.layers * model.attention_parameters
    others = 2.0 * tokens * model.active_parameters - attention
    gpus = layout.tensor * layout.pipeline
    attention_format = layout.weights if layout.narrow_attention else "bf16"
    return (
        attention / layout.flops(attention_format) + others / layout.flops(layout.weights)
    ) / gpus


def _waits(layout: Layout, tokens: float, how: Efficiency) -> float:
    """Seconds of a step in which kernels start and GPUs exchange what they have."""
    model = layout.architecture
    waits = model.layers * how.layer_s + model.expert_layers * how.expert_layer_s
    group = max(layout.tensor, layout.experts_over if model.experts else 1)
    if group == 1:
        return waits
    one_way = 1e9 * layout.sheet.interconnect_gb_s / 2 * how.links
    sent = 2.0 * (group - 1) / group * tokens * model.hidden * _ACTIVATION_BYTES / one_way
    return waits + 2.0 * model.layers * (how.reduce_s * math.log2(group) + sent)
