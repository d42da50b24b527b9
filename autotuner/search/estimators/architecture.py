"""The sizes of a transformer: what it weighs, and what one token costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Architecture", "ArchitectureError", "Latent", "bytes_of"]

_BYTES = {"bf16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5, "int4": 0.5}
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
