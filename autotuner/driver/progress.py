"""What a study tells its watcher while it runs; `run` passes these to ``on_event``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from autotuner.planning import Plan
from autotuner.results.levels import LevelResult
from autotuner.spec.experiment import Attempt, Experiment, Outcome, Phase, Purpose
from autotuner.spec.workload import Level

__all__ = [
    "AttemptFinished",
    "AttemptStarted",
    "AttemptWaiting",
    "CandidatesRefused",
    "EnginesAsked",
    "ExperimentAsked",
    "FlagsRefused",
    "LevelFinished",
    "NodeNotReady",
    "NodeSetAside",
    "NodesPrepared",
    "NodesPreparing",
    "PhaseEntered",
    "ResultsNote",
    "RoomAwaited",
    "RoundStarted",
    "SearchEnded",
    "SlotFreed",
    "SlotQuarantined",
    "StudyEnded",
    "StudyEvent",
    "StudyStarted",
]


@dataclass(frozen=True, slots=True)
class NodesPreparing:
    """Before the study starts, its nodes are given what its servers need; this may take long."""

    launcher: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeNotReady:
    """No server can start on this node, for these reasons, each with its fix; others are ready."""

    host: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodesPrepared:
    """These are ready."""

    launcher: str
    hosts: tuple[str, ...]
    seconds: float
    warnings: tuple[str, ...] = ()
    """What lets servers start all the same, each with its fix."""


@dataclass(frozen=True, slots=True)
class EnginesAsked:
    """The engines of these nodes are asked which flags they know, which takes its time."""

    engine: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FlagsRefused:
    """The engine of these nodes refuses flags of the study; that of others does not."""

    hosts: tuple[str, ...]
    engine: str
    """Its name and version."""
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StudyStarted:
    plan: Plan
    reused: int
    """Experiments that the results folder already holds complete."""
    given_up: int
    """Experiments that failed for good in an earlier run and are not tried again."""
    dashboard: str | None
    """Where Ray's dashboard is and how to log in, or None."""


@dataclass(frozen=True, slots=True)
class CandidatesRefused:
    """The search does not take these, as they cannot fit into the GPUs' memory."""

    refused: tuple[tuple[Experiment, str], ...]
    """Each with the arithmetic."""


@dataclass(frozen=True, slots=True)
class ExperimentAsked:
    """The search has chosen a candidate, which is measured as soon as it finds a place."""

    experiment: Experiment
    why: str
    asked: int
    """So many candidates have been asked for, in all runs of the study."""


@dataclass(frozen=True, slots=True)
class SearchEnded:
    """The search asks for no more, and all that it has asked for has ended."""

    why: str
    asked: int
    candidates: int


@dataclass(frozen=True, slots=True)
class RoundStarted:
    """Everything has been measured; these are measured once more, on fresh servers."""

    experiments: tuple[Experiment, ...]
    purpose: Purpose
    why: str


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    attempt: Attempt
    host: str
    levels: tuple[Level, ...] = ()
    """In the order in which they will run; empty where it is decided level by level."""


@dataclass(frozen=True, slots=True)
class AttemptWaiting:
    """The executor has not begun the attempt yet: someone else may be using the node."""

    attempt: Attempt
    host: str
    waited_s: float


@dataclass(frozen=True, slots=True)
class RoomAwaited:
    """Nothing runs, since nothing finds room: the cluster must grow, or others must leave."""

    experiment: Experiment
    """One of those that wait."""
    others: bool
    """Whether it would fit if nobody else held anything."""
    waited_s: float


@dataclass(frozen=True, slots=True)
class PhaseEntered:
    attempt: Attempt
    phase: Phase


@dataclass(frozen=True, slots=True)
class LevelFinished:
    attempt: Attempt
    result: LevelResult


@dataclass(frozen=True, slots=True)
class AttemptFinished:
    attempt: Attempt
    outcome: Outcome
    will_retry: bool
    row: Mapping[str, object] = field(default_factory=dict)
    """Its row among the experiments, as it was written."""


@dataclass(frozen=True, slots=True)
class SlotQuarantined:
    """The devices of an attempt that has ended are not free; nobody gets them until they are."""

    attempt: Attempt
    host: str
    fault: str


@dataclass(frozen=True, slots=True)
class SlotFreed:
    attempt: Attempt
    host: str


@dataclass(frozen=True, slots=True)
class NodeSetAside:
    """Experiments fail on this node and not on others: it gets none for a while."""

    host: str


@dataclass(frozen=True, slots=True)
class ResultsNote:
    """Something about the place of the results: why it is waited for, that it does not answer."""

    text: str


@dataclass(frozen=True, slots=True)
class StudyEnded:
    interrupted: bool
    stopped: str | None = None
    """Why the study stopped by itself before its end, and what to mend; None if it did not."""


StudyEvent = (
    NodesPreparing
    | NodeNotReady
    | NodesPrepared
    | EnginesAsked
    | FlagsRefused
    | StudyStarted
    | CandidatesRefused
    | ExperimentAsked
    | SearchEnded
    | RoundStarted
    | AttemptStarted
    | AttemptWaiting
    | RoomAwaited
    | PhaseEntered
    | LevelFinished
    | AttemptFinished
    | SlotQuarantined
    | SlotFreed
    | NodeSetAside
    | ResultsNote
    | StudyEnded
)
