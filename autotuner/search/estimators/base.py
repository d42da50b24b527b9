"""What the product asks of an estimator: numbers with their uncertainty, or an honest "unknown".

An estimate orders what is measured first, and is corrected by what is measured. It never stands
in for a measurement, and no configuration is left out because of a predicted latency.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from autotuner.spec.server import Value

__all__ = ["Estimate", "Estimator", "Load", "Misfit", "Subject", "Unknown"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A server configuration in the terms that estimators know."""

    engine: str
    model: str
    """Path or name of the model, as the study has it."""
    gpu: str | None
    """Model of the GPUs, as the driver library or the study names it, e.g. ``NVIDIA H200``; None:
    not known."""
    gpus: int
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    data_parallel: int = 1
    expert_parallel: int = 1
    """Ways in which experts are divided; 1: each GPU of a tensor group holds a part of each."""
    expert_group: int | None = None
    """GPUs that hold one copy of a layer's experts between them; None: those of a tensor group,
    or all of a larger group in which experts are divided."""
    weights: str | None = None
    """Number format of the weights: ``bf16``, ``fp8``, ``fp4``, ``int8``, ``int4``; None: the
    model's own."""
    kv_cache: str | None = None
    """Number format of the KV cache; None: that of the activations."""
    flags: Mapping[str, Value] = field(default_factory=dict)
    """All flags of the server, the above among them."""
    engine_version: str | None = None

    @property
    def experts_over(self) -> int:
        """GPUs that hold one copy of a layer's experts."""
        return self.expert_group or max(self.tensor_parallel, self.expert_parallel)


@dataclass(frozen=True, slots=True)
class Load:
    """Closed-loop load: so many requests in flight, each of so many tokens."""

    input_tokens: int
    output_tokens: int
    concurrency: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """Predicted means at one load, and how far off they may be."""

    ttft_s: float
    tpot_s: float
    output_throughput_tok_s: float
    """Of the whole server."""
    ttft_sigma: float
    """Standard deviation of the logarithm of the truth over the estimate; 0.3: about 30 %."""
    tpot_sigma: float
    throughput_sigma: float


@dataclass(frozen=True, slots=True)
class Unknown:
    """The estimator cannot tell."""

    reason: str


@dataclass(frozen=True, slots=True)
class Misfit:
    """Weights and KV cache cannot fit into the GPUs' memory."""

    arithmetic: str
    """How that follows, with the numbers, for the user to check."""


class Estimator(ABC):
    """Predicts what a configuration does under a load."""

    name: ClassVar[str]

    @abstractmethod
    def estimate(self, subject: Subject, load: Load) -> Estimate | Unknown:
        """Means at this load; quick, as it is asked for every candidate and level."""

    def misfit(self, subject: Subject) -> Misfit | None:
        """Why the server cannot start, where that follows from sizes alone; None: it may.

        In doubt it may: a configuration that is refused here is never measured.
        """
        return None
