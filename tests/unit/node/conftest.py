"""Attempts that really run, and a server that only seems to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from autotuner.launchers.base import LaunchFault, Server
from autotuner.node.events import AttemptEnded, AttemptOrder, LevelMeasured, PhaseStarted
from autotuner.node.experiment import run_attempt
from autotuner.results.levels import LevelResult
from autotuner.spec.experiment import Phase
from autotuner.supervision.process import ProcessExit


@dataclass
class Told:
    """The events of an attempt."""

    phases: list[Phase] = field(default_factory=list)
    levels: list[LevelResult] = field(default_factory=list)
    ended: AttemptEnded = None  # type: ignore[assignment]

    @property
    def outcome(self):
        return self.ended.outcome

    @property
    def statuses(self) -> list[str]:
        return [level.status.value for level in self.levels]


@pytest.fixture
def run(make_order) -> Callable[..., Told]:
    """Run an attempt to its end; ``stop_in`` cancels it when that phase has begun."""

    def until_end(
        order: AttemptOrder | None = None, *, stop_in: Phase | None = None, **changes: object
    ) -> Told:
        told = Told()

        def should_stop() -> str | None:
            return "enough" if stop_in in told.phases else None

        for event in run_attempt(order or make_order(**changes), should_stop=should_stop):
            assert told.ended is None, "an event after the last one"
            match event:
                case PhaseStarted(phase):
                    told.phases.append(phase)
                case LevelMeasured(result):
                    told.levels.append(result)
                case AttemptEnded():
                    told.ended = event
        return told

    return until_end


class FakeServer(Server):
    """Ends after it has been asked ``lives`` times how it is; never, by default."""

    def __init__(self, *, url: str = "http://127.0.0.1:1", log: str = "", lives: int = 10**9):
        self.address: str | None = url
        self.log = log
        self.lives = lives
        self.stopped = False
        self.trouble: LaunchFault | None = None

    @property
    def url(self) -> str | None:
        return self.address

    @property
    def fault(self) -> LaunchFault | None:
        return self.trouble

    @property
    def exit(self) -> ProcessExit | None:
        self.lives -= 1
        return None if self.lives >= 0 else ProcessExit(1, "exited")

    @property
    def pid(self) -> int | None:
        return None

    def log_tail(self, max_bytes: int = 64_000) -> str:
        return self.log

    def stop(self, *, hurry: bool = False) -> ProcessExit:
        self.stopped = True
        return ProcessExit(0, "stopped")


@pytest.fixture
def fake_server() -> type[FakeServer]:
    return FakeServer
