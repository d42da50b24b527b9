"""Estimates from data sheets and a model's sizes alone: no measurement, no network, no GPU.

The constants in `EFFICIENCY` were fitted to published measurements of two model families, Llama 3.1
and MiniMax M2, and then checked on others; ``docs/estimators.md`` has the errors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from autotuner.search.estimators.architecture import Architecture, ArchitectureError, bytes_of
from autotuner.search.estimators.base import Estimate, Estimator, Load, Misfit, Subject, Unknown
from autotuner.search.estimators.gpu_sheets import find_sheet, nearest_gpu
from autotuner.search.estimators.memory import misfit
from autotuner.search.estimators.model_files import architecture_of
from autotuner.search.estimators.step_times import (
    Efficiency,
    Layout,
    decode_step_s,
    prefill_s,
    request_cache_bytes,
    weight_bytes,
)

__all__ = ["EFFICIENCY", "Roofline"]

EFFICIENCY = Efficiency(
    memory=0.95,
    compute=0.588,
    links=0.567,
    layer_s=54.9e-6,
    expert_layer_s=38.1e-6,
    reduce_s=2.14e-6,
    request_s=19.8e-6,
    interruption=0.757,
    queue=0.1,
    first_token_s=54.9e-3,
)
_TTFT_SIGMA, _TPOT_SIGMA, _THROUGHPUT_SIGMA = 0.8, 0.3, 0.3
_USED_MEMORY = 0.9
"""Share of a GPU's memory for weights and KV cache, where no flag says it."""


class Roofline(Estimator):
    """A decoding step reads weights and KV cache, a prompt multiplies; the rest is waiting."""

    name: ClassVar[str] = "roofline"

    def __init__(
        self,
        find_architecture: Callable[[str], Architecture] = architecture_of,
        efficiency: Efficiency = EFFICIENCY,
    ) -> None:
        """Args: find_architecture: Gives a model's sizes, or raises `ArchitectureError`."""
        self._find = lru_cache(maxsize=None)(_remembering(find_architecture))
        self._efficiency = efficiency

    def estimate(self, subject: Subject, load: Load) -> Estimate | Unknown:
        layout = self._layout(subject)
        if isinstance(layout, Unknown):
            return layout
        return _estimate(layout, load, self._efficiency)

    def misfit(self, subject: Subject) -> Misfit | None:
        layout = self._layout(subject)
        return None if isinstance(layout, Unknown) else misfit(layout, subject)

    def _layout(self, subject: Subject) -> Layout | Unknown:
        if subject.gpus < 1:
            return Unknown("the server takes no GPU")
        if subject.gpu is None:
            return Unknown("the GPUs' model is not known: set resources.gpu_type, or give --gpu")
        if (sheet := find_sheet(subject.gpu)) is None:
            nearest = nearest_gpu(subject.gpu)
            hint = f"; did you mean {nearest}?" if nearest else ""
            return Unknown(f"no data sheet of the GPU {subject.gpu!r} is known{hint}")
        architecture = self._find(subject.model)
        if isinstance(architecture, ArchitectureError):
            return Unknown(str(architecture))
        cache = subject.kv_cache or "bf16"
        return Layout(
            architecture,
            sheet,
            tensor=subject.tensor_parallel,
            pipeline=subject.pipeline_parallel,
            data=subject.data_parallel,
            experts_over=subject.experts_over,
            weights=subject.weights or architecture.weights,
            narrow_attention=_narrow_attention(architecture, subject.weights),
            cache_bytes=bytes_of(cache),
        )


def _remembering(
    find: Callable[[str], Architecture],
) -> Callable[[str], Architecture | ArchitectureError]:
    def found(model: str) -> Architecture | ArchitectureError:
        try:
            return find(model)
        except ArchitectureError as error:
            return error

    return found


def _narrow_attention(architecture: Architecture, weights: str | None) -> bool:
    """Four bits are nearly always kept to experts, where there are any."""
    if weights is None or weights == architecture.weights:
        return architecture.narrow_attention
    return not (weights == "fp4" and architecture.experts)


@dataclass(frozen=True, slots=True)
class _Closed:
    """A closed loop at its steady state."""

    ttft_s: float
    tpot_s: float


def _estimate(layout: Layout, load: Load, how: Efficiency) -> Estimate:
    in_flight = max(1.0, load.concurrency / layout.data)
    room = _most_requests(layout, load)
    closed = _steady(layout, load, min(in_flight, room), how)
    life_s = closed.ttft_s + closed.tpot_s * max(0, load.output_tokens - 1)
    running = min(
        float(load.concurrency),
        max(1.0, room) * layout.data,
    )
    throughput = running * load.output_tokens / life_s
    # Who finds no room waits until one of those that have it is done.
    waited = load.concurrency / (throughput / load.output_tokens) - life_s
    return Estimate(
        ttft_s=closed.ttft_s + max(0.0, waited),
        tpot_s=closed.tpot_s,
        output_throughput_tok_s=throughput,
        ttft_sigma=_TTFT_SIGMA,
        tpot_sigma=_TPOT_SIGMA,
        throughput_sigma=_THROUGHPUT_SIGMA,
    )


def _steady(layout: Layout, load: Load, batch: float, how: Efficiency) -> _Closed:
    context = load.input_tokens + load.output_tokens / 2
    prompt_s = prefill_s(layout, load.input_tokens, how)
    step_s = decode_step_s(layout, batch, context, how)
    held_up = how.interruption * (batch - 1) * prompt_s / max(1, load.output_tokens)
    waiting = how.queue * (batch - 1) * prompt_s
    return _Closed(how.first_token_s + prompt_s + waiting + step_s, step_s + held_up)


def _most_requests(layout: Layout, load: Load) -> float:
    """Requests whose KV cache a replica has room for; at least one."""
    memory = layout.sheet.memory_gib * 2**30 * _USED_MEMORY
    free = memory - weight_bytes(layout)
    each = request_cache_bytes(layout, load.input_tokens + load.output_tokens / 2)
    return max(1.0, free / each) if each else float(load.concurrency)
