"""Whether a server's weights and its longest request can fit into its GPUs' memory.

A configuration that is refused here is never measured, so everything is counted at its least: no
scales of quantized weights, no activations, no buffers, one request. In doubt it fits.
"""

from __future__ import annotations

from collections.abc import Mapping

from autotuner.engines.base import normal_name
from autotuner.search.estimators.base import Misfit, Subject
from autotuner.search.estimators.step_times import Layout, request_cache_bytes, weight_bytes
from autotuner.spec.server import Value, is_number

__all__ = ["misfit"]

_UTILIZATION = {"vllm": "gpu-memory-utilization", "sglang": "mem-fraction-static"}
_MOST_BY_DEFAULT = 0.95
"""Of the memory, where no flag says how much may be used."""
_LONGEST = "max-model-len"
"""Of vLLM, which does not start unless the KV cache can hold one request of this length."""
_DOUBTS = frozenset(
    {
        *("cpu-offload-gb", "offload-group-size", "kv-offloading-size", "kv-transfer-config"),
        *("decode-context-parallel-size", "dcp", "prefill-context-parallel-size", "pcp"),
        *("num-gpu-blocks-override", "kv-cache-memory-bytes", "load-format", "hf-overrides"),
        *("json-model-override-args", "enable-hierarchical-cache", "config"),
    }
)
"""Flags by which weights or KV cache may lie elsewhere, or be other than the model says."""


def misfit(layout: Layout, subject: Subject) -> Misfit | None:
    """Why the server cannot start, with the numbers; None: it may."""
    flags = {normal_name(name): value for name, value in subject.flags.items()}
    if subject.engine not in _UTILIZATION or _DOUBTS & flags.keys():
        return None
    weights = _least_weight_bytes(layout, subject)
    if weights is None:
        return None
    share = flags.get(_UTILIZATION[subject.engine])
    share = float(share) if is_number(share) and 0 < share <= 1 else _MOST_BY_DEFAULT
    memory = layout.sheet.memory_gib * 2**30
    tokens = _longest_request(layout, subject, flags)
    cache = _least_cache_bytes(layout, subject, tokens)
    if weights + cache <= share * memory:
        return None
    return Misfit(
        f"weights {_gb(weights)}{_divided(layout)}"
        + (f" and the KV cache of one request of {tokens:,} tokens {_gb(cache)}" if cache else "")
        + (f" are {_gb(weights + cache)}" if cache else "")
        + f" on each GPU, more than {share:g} of a {layout.sheet.name}'s {_gb(memory)} "
        f"= {_gb(share * memory)}"
    )


def _least_weight_bytes(layout: Layout, subject: Subject) -> float | None:
    """Bytes on each GPU at least; None where the model is of an unknown kind."""
    model = layout.architecture
    counted = weight_bytes(layout, scales=False)
    as_stored = subject.weights in (None, model.weights)
    if not (as_stored and model.stored_bytes):
        return counted if model.known else None
    # Files may hold what is not loaded, and not every group of GPUs divides all of it evenly.
    most_ways = max(layout.tensor, layout.experts_over) * layout.pipeline
    stored = model.stored_bytes / most_ways
    return min(counted, stored) if model.known else stored


def _longest_request(layout: Layout, subject: Subject, flags: Mapping[str, Value]) -> int:
    """Tokens of the request that must fit; 0: none must."""
    if subject.engine != "vllm" or not layout.architecture.known:
        return 0
    longest = flags.get(_LONGEST, layout.architecture.longest_context)
    return int(longest) if is_number(longest) and longest > 0 else 0


def _least_cache_bytes(layout: Layout, subject: Subject, tokens: int) -> float:
    each = request_cache_bytes(layout, tokens)
    # A quantized model may bring scales for a narrow KV cache, which engines then use unasked.
    doubtful = subject.kv_cache is None and layout.architecture.weights != "bf16"
    return each / layout.cache_bytes if doubtful else each


def _divided(layout: Layout) -> str:
    ways = {
        "tensor": layout.tensor,
        "pipeline": layout.pipeline,
        "data": layout.data,
    }
    words = [f"{name} {size}" for name, size in ways.items() if size > 1]
    return f" ({' x '.join(words)} parallel)" if words else ""


def _gb(amount: float) -> str:
    return f"{amount / 1e9:,.1f} GB"
