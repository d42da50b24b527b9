"""The unit of dispatch and of resume, its attempts, and how an attempt can end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from autotuner.spec.server import Footprint, ServerConfig, Value
from autotuner.spec.workload import Level, Workload

__all__ = [
    "Attempt",
    "Cancelled",
    "Completed",
    "Experiment",
    "Failed",
    "FailureKind",
    "Outcome",
    "Phase",
    "Pruned",
    "Purpose",
    "Retry",
    "Timeouts",
    "content_id",
]


def content_id(content: object, length: int = 10) -> str:
    """Hex digest of a JSON-able value; equal content gives an equal id on any machine."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


class Phase(StrEnum):
    """Where an attempt is, in order."""

    PREFLIGHT = "preflight"
    SERVER_START = "server_start"
    WARMUP = "warmup"
    LOAD = "load"
    STOP = "stop"
    POSTFLIGHT = "postflight"


class Retry(StrEnum):
    """Where a second attempt might end better than the first."""

    NEVER = "never"
    """The configuration is at fault: a second attempt would only burn GPU time."""
    ELSEWHERE = "elsewhere"
    """The node lacks something that another may have."""
    ANYWHERE = "anywhere"
    """Preferably elsewhere; where there is no other node, on the same one."""


class FailureKind(StrEnum):
    """Why an experiment has no complete result; each kind knows what another attempt is worth."""

    CONFIG_REJECTED = "config_rejected"
    """The engine refused a flag, a value or a combination."""
    OUT_OF_MEMORY_AT_LOAD = "out_of_memory_at_load"
    """Weights or KV cache do not fit."""
    OUT_OF_MEMORY_UNDER_LOAD = "out_of_memory_under_load"
    """The server fitted, then ran out while serving."""
    MODEL_NOT_FOUND = "model_not_found"
    """The model or its tokenizer cannot be read."""
    LAUNCH_FAILED = "launch_failed"
    """The program or container could not be started at all: missing, or not permitted."""
    UNSCHEDULABLE = "unschedulable"
    """No node of the Kubernetes cluster took the server's pod in time."""
    PORT_TAKEN = "port_taken"
    """Another process took the port between its choice and its use."""
    LAUNCH_TIMEOUT = "launch_timeout"
    """Not ready within ``timeouts.start_s``."""
    SERVER_CRASHED = "server_crashed"
    """The server's process ended, at start or under load, for no reason known above."""
    SERVER_HUNG = "server_hung"
    """The server's process lives and answers no request."""
    BENCH_FAILED = "bench_failed"
    """The load generator ended without measuring, while the server was well."""
    REQUESTS_FAILED = "requests_failed"
    """The server lives and answers requests with errors, at warm-up or in a level."""
    ACTOR_LOST = "actor_lost"
    """The Ray actor died; its node lives."""
    NODE_LOST = "node_lost"
    """The node left the cluster."""
    DIRTY_GPU = "dirty_gpu"
    """The devices held foreign memory before the start."""
    DISK_FULL = "disk_full"
    """A disk of the node is full."""
    INTERNAL_ERROR = "internal_error"
    """A bug in autotuner; the evidence is its traceback."""

    @property
    def retry(self) -> Retry:
        """Whether and where the driver tries again within the same run."""
        return _RETRY[self]

    @property
    def permanent(self) -> bool:
        """Whether a later run of the study need not try again either.

        What the user can mend outside of the study file is not permanent.
        """
        return self in _PERMANENT

    @property
    def is_loss(self) -> bool:
        """Whether the attempt was lost without a word; its configuration may be the reason."""
        return self in (FailureKind.ACTOR_LOST, FailureKind.NODE_LOST)


_RETRY = {
    FailureKind.CONFIG_REJECTED: Retry.NEVER,
    FailureKind.OUT_OF_MEMORY_AT_LOAD: Retry.NEVER,
    FailureKind.OUT_OF_MEMORY_UNDER_LOAD: Retry.NEVER,
    FailureKind.MODEL_NOT_FOUND: Retry.ELSEWHERE,
    FailureKind.LAUNCH_FAILED: Retry.ELSEWHERE,
    FailureKind.UNSCHEDULABLE: Retry.ANYWHERE,
    FailureKind.PORT_TAKEN: Retry.ANYWHERE,
    FailureKind.LAUNCH_TIMEOUT: Retry.ANYWHERE,
    FailureKind.SERVER_CRASHED: Retry.ANYWHERE,
    FailureKind.SERVER_HUNG: Retry.ANYWHERE,
    FailureKind.BENCH_FAILED: Retry.ANYWHERE,
    FailureKind.REQUESTS_FAILED: Retry.NEVER,
    FailureKind.ACTOR_LOST: Retry.ANYWHERE,
    FailureKind.NODE_LOST: Retry.ANYWHERE,
    FailureKind.DIRTY_GPU: Retry.ANYWHERE,
    FailureKind.DISK_FULL: Retry.ELSEWHERE,
    FailureKind.INTERNAL_ERROR: Retry.NEVER,
}
_PERMANENT = frozenset(
    {
        FailureKind.CONFIG_REJECTED,
        FailureKind.OUT_OF_MEMORY_AT_LOAD,
        FailureKind.OUT_OF_MEMORY_UNDER_LOAD,
    }
)


@dataclass(frozen=True, slots=True)
class Completed:
    """Every expected level was measured, or was not worth it by the attempt's plan of levels."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """Given up because its levels showed that it cannot win; those are valid measurements."""

    reason: str
    """Which numbers said so."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt has no complete result, and this is why."""

    kind: FailureKind
    phase: Phase
    message: str
    """One sentence for the user."""
    evidence: str = ""
    """The log line, exit status or log tail that says so."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Stopped by the user or by the end of the study; says nothing about the configuration."""

    reason: str


Outcome = Completed | Pruned | Failed | Cancelled


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines in seconds."""

    device_s: float = 60.0
    """For the devices to be free of foreign memory, before the start and after the end."""
    start_s: float = 600.0
    """From the server's start until it is ready."""
    warmup_s: float = 300.0
    """For the warm-up of one workload."""
    level_grace_s: float = 120.0
    """On top of a level's stop rule."""
    no_token_s: float = 120.0
    """A server under load that sends no token to anyone for so long is hung."""
    stop_s: float = 20.0
    """Between SIGTERM and SIGKILL."""
    lease_s: float = 120.0
    """An attempt ends by itself when its driver has been silent for so long."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One server configuration under all workloads of the study."""

    id: str
    """Hash of the resolved content: equal id, equal measurement."""
    index: int
    """Place in the plan, from 0."""
    parameters: Mapping[str, Value]
    """The point of the search space, for tables and rows."""
    server: ServerConfig
    workloads: tuple[Workload, ...]
    footprint: Footprint
    is_baseline: bool = False
    """Whether the others are compared with it."""

    @property
    def levels(self) -> tuple[Level, ...]:
        return tuple(level for workload in self.workloads for level in workload.levels)

    @property
    def owed(self) -> tuple[Level, ...]:
        """Levels of which each attempt has a row: not those among which a load is found."""
        fixed = (workload for workload in self.workloads if workload.find is None)
        return tuple(level for workload in fixed for level in workload.levels)

    @property
    def expected_levels(self) -> int:
        """So many levels are measured on a server, or about so many where a load is found."""
        return sum(workload.expected_levels for workload in self.workloads)

    @property
    def label(self) -> str:
        """The parameters in one line, e.g. ``max-num-seqs=16 enforce-eager``."""
        words = [
            name if value is True else f"{name}={'off' if value is False else value}"
            for name, value in self.parameters.items()
        ]
        return " ".join(words) or "defaults"

    @staticmethod
    def id_of(
        server: ServerConfig,
        workloads: tuple[Workload, ...],
        footprint: Footprint,
        bench: Mapping[str, object],
    ) -> str:
        """Id of an experiment with this content."""
        return Experiment.id_under(server, [w.content() for w in workloads], footprint, bench)

    @staticmethod
    def id_under(
        server: ServerConfig,
        workloads: Sequence[Mapping[str, object]],
        footprint: Footprint,
        bench: Mapping[str, object],
    ) -> str:
        """As `id_of`, of workloads as plain values: thousands of experiments share them."""
        return content_id(
            {
                "server": server.content(),
                "workloads": list(workloads),
                "footprint": footprint.content(),
                "bench": dict(bench),
            }
        )


class Purpose(StrEnum):
    """Why an attempt is made."""

    SEARCH = "search"
    """The experiment has no complete measurement yet."""
    CONFIRM = "confirm"
    """A finalist is measured again on a fresh server."""
    DRIFT_CHECK = "drift_check"
    """The baseline is measured again at the end."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The n-th try of an experiment, counted from 1 over the life of the study's folder."""

    study_id: str
    experiment: Experiment
    number: int
    purpose: Purpose = Purpose.SEARCH
    driver: str = ""
    """Random token of the driver that makes the attempt; empty where it is only written down."""

    @property
    def id(self) -> str:
        """Unique in the results folder, and fit for a file's name."""
        return f"{self.experiment.id}-a{self.number}"

    @property
    def mark(self) -> str:
        """Unique wherever attempts run, and fit for the name of a folder or a container.

        Two drivers that measure the same study into two folders have the same study id and the
        same attempt ids, and may meet on a node.
        """
        return f"{self.id}-{self.driver}" if self.driver else self.id

    @property
    def served_name(self) -> str:
        """The model name that only this attempt's server answers to."""
        return f"autotuner-{self.study_id}-{self.mark}"
