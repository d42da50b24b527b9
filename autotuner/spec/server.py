"""What is served: one configuration of an inference server, and the hardware it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeGuard

from autotuner.spec.launching import LaunchSettings, decisive_settings

__all__ = [
    "CpuPlan",
    "Footprint",
    "Model",
    "ServerConfig",
    "Value",
    "is_number",
    "same_value",
    "spelled",
]

Value = bool | int | float | str | None
"""A flag's value. ``True`` is a bare flag; ``False`` and ``None`` omit it."""


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number; ``true`` and ``false`` are none, though Python counts with them."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def spelled(value: object) -> str:
    """The value as a study file spells it: booleans in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def same_value(left: Value, right: Value) -> bool:
    """Equality that keeps ``true`` apart from ``1``."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


@dataclass(frozen=True, slots=True)
class Model:
    """The model that the server loads and the tokenizer that counts its tokens."""

    path: str
    """A folder on the node (absolute) or a hub id."""
    tokenizer: str
    """A folder on the node (absolute) or a hub id; the load generator shapes prompts with it."""


@dataclass(frozen=True, slots=True)
class CpuPlan:
    """CPUs of one experiment: how many Ray reserves, and which the processes may run on.

    Empty sets leave the affinity as it is. Where a set is given, the experiment has its
    node to itself: two experiments pinned to the same CPUs would measure each other.
    """

    reserve: int = 1
    server: tuple[int, ...] = ()
    load: tuple[int, ...] = ()

    @property
    def pinned(self) -> bool:
        return bool(self.server or self.load)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one experiment takes of a cluster."""

    gpus_per_node: int
    nodes: int = 1
    cpus: CpuPlan = field(default_factory=CpuPlan)
    quota: str | None = None
    """Custom resource of the cluster that is reserved instead of GPUs of its nodes, where the
    server runs elsewhere (in Kubernetes)."""
    gpu_type: str | None = None
    """GPU model of the nodes as Ray names it, e.g. ``H100``; None: any."""
    whole_nodes: bool = False
    """No other attempt shares the nodes, whatever of them is left free."""

    @property
    def exclusive(self) -> bool:
        """Whether no other attempt may share its nodes."""
        return self.whole_nodes or self.cpus.pinned

    @property
    def gpus(self) -> int:
        return self.gpus_per_node * self.nodes

    @property
    def quota_share(self) -> int:
        """How much of ``quota`` is taken: a server without GPUs counts as one."""
        return max(1, self.gpus) if self.quota is not None else 0

    @property
    def reserved_gpus(self) -> int:
        """GPUs that are taken of each of its nodes of the Ray cluster."""
        return self.gpus_per_node if self.quota is None else 0

    def allows(self, gpu_model: str | None) -> bool:
        """Whether a node with such GPUs will do."""
        if self.gpu_type is None:
            return True
        return gpu_model is not None and gpu_model.lower() == self.gpu_type.lower()

    def content(self) -> dict[str, Any]:
        """What of it can change a measurement."""
        content = asdict(self)
        del content["quota"]
        # Left out where not used, so that experiments measured before there were such keys keep
        # their ids.
        for name in ("gpu_type", "whole_nodes"):
            if not content[name]:
                del content[name]
        return content


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Everything that decides how a server starts, apart from its port and its name."""

    engine: str
    model: Model
    flags: Mapping[str, Value]
    """Flag name as the engine spells it, without leading dashes."""
    environment: Mapping[str, str] = field(default_factory=dict)
    executable: str | None = None
    """Program of the engine; None means the engine's own default."""
    command: tuple[str, ...] = ()
    """Template of a ``custom`` engine, with ``{host}``, ``{port}``, ``{model}`` and
    ``{served_name}``."""
    launcher: str = "process"
    launch: LaunchSettings | None = None
    """Settings of the launcher; None for one that needs none."""

    def content(self) -> dict[str, Any]:
        """What of it can change a measurement."""
        # Not copied in depth, as `asdict` would: a search has thousands of candidates.
        content: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        content["model"] = asdict(self.model)
        del content["launch"]
        if self.launch is not None:
            content["launch"] = decisive_settings(self.launch)
        return content
