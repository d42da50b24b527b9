"""What a check says, and what it has to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from autotuner.node.known_flags import FlagUses
from autotuner.results.place import Place
from autotuner.spec.server import Footprint, ServerConfig
from autotuner.spec.study import BenchConfig

__all__ = [
    "Checkup",
    "CheckupOrder",
    "Finding",
    "StudyNeeds",
    "Verdict",
    "failure",
    "good",
    "warning",
]


class Verdict(StrEnum):
    """What a finding means for a study."""

    OK = "ok"
    WARNING = "warning"
    """Studies run, but numbers or crashes may not be what they seem."""
    FAILURE = "failure"
    """Some study cannot run here, or will break under load."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    read: str
    wanted: str
    """Empty where any value will do."""
    verdict: Verdict
    fix: str = ""
    """One sentence; empty where the verdict is ok."""
    alike: bool = False
    """The value should be the same on every node."""


def good(check: str, read: str, wanted: str = "", *, alike: bool = False) -> Finding:
    return Finding(check, read, wanted, Verdict.OK, alike=alike)


def warning(check: str, read: str, wanted: str, fix: str) -> Finding:
    return Finding(check, read, wanted, Verdict.WARNING, fix)


def failure(check: str, read: str, wanted: str, fix: str) -> Finding:
    return Finding(check, read, wanted, Verdict.FAILURE, fix)


@dataclass(frozen=True, slots=True)
class Checkup:
    """All findings of one node."""

    node: str
    """Its host name, as the user will look for it."""
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        return any(finding.verdict is Verdict.FAILURE for finding in self.findings)


@dataclass(frozen=True, slots=True)
class StudyNeeds:
    """What the experiments of a study ask of a node."""

    server: ServerConfig
    """Of the widest experiment."""
    bench: BenchConfig
    least_gpus: int
    """GPUs of the narrowest experiment: a node with fewer is never used."""
    most_gpus: int
    footprint: Footprint = field(default_factory=lambda: Footprint(0))
    """Of the widest experiment."""
    least_share: int = 0
    """Of the footprint's quota, for the narrowest experiment."""
    flags: FlagUses | None = None
    """Of all experiments; None: they are not to be checked."""


@dataclass(frozen=True, slots=True)
class CheckupOrder:
    """What to check a node for."""

    ray_gpus: int | None = None
    """GPUs that Ray counts on the node; None: there is no Ray yet."""
    ray_quotas: Mapping[str, int] = field(default_factory=dict)
    """Custom resources that Ray gives out on the node."""
    study: StudyNeeds | None = None
    output: Place | None = None
    """Results folder, where the driver runs on this node."""
    driver_versions: tuple[tuple[str, str], ...] = field(default=())
    """Name and version of what must be the same as at the driver; empty at the driver itself."""

    @property
    def in_ray(self) -> bool:
        return self.ray_gpus is not None
