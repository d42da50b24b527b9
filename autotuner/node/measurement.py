"""What an attempt measures: start the server, warm it up, load it level by level, stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace

from autotuner.bench.base import Booted, LevelLoad, LoadContext, Target
from autotuner.bench.registry import load_generator
from autotuner.launchers.base import Server
from autotuner.launchers.registry import load_launcher
from autotuner.node.compile_cache import CompileCache, held_compile_cache
from autotuner.node.cpu_meter import CpuMeter
from autotuner.node.events import AttemptEvent, LevelMeasured, PhaseStarted
from autotuner.node.facts import served_version
from autotuner.node.failures import (
    AttemptCancelledError,
    AttemptFailedError,
    kind_of_level_failure,
    server_ended,
)
from autotuner.node.levels_in_turn import LevelsInTurn
from autotuner.node.liveness import answers
from autotuner.node.page_cache import reading_ahead
from autotuner.node.preparation import Preparation
from autotuner.node.ranks import Ranks
from autotuner.node.readiness import wait_until_ready
from autotuner.node.warmup import warm_up
from autotuner.results.levels import LevelResult, LevelStatus
from autotuner.spec.experiment import (
    Cancelled,
    Completed,
    Failed,
    FailureKind,
    Outcome,
    Phase,
    Pruned,
)
from autotuner.spec.launching import DockerSettings
from autotuner.supervision.environment import kernel_facts

__all__ = ["Measurement"]

_OF_THE_LOAD = frozenset({FailureKind.REQUESTS_FAILED, FailureKind.SERVER_HUNG})
"""Failures of a level that say that it is too much for a server which lives on and answers."""
_UNKNOWN_URL = ""
"""Of a server that has not started."""


@dataclass
class Measurement:
    """One server's life under load."""

    prepared: Preparation
    should_stop: Callable[[], str | None]
    facts: dict[str, object]
    """Columns of the experiment row; filled as they become known."""
    ranks: Ranks | None = None
    """The further nodes of a server that spans several."""
    phase: Phase = Phase.PREFLIGHT
    failed_levels: list[tuple[LevelResult, FailureKind]] = field(default_factory=list)
    """Levels without a valid measurement, and why."""

    def __post_init__(self) -> None:
        self.order = self.prepared.order
        self.engine = self.prepared.engine
        self.experiment = self.order.attempt.experiment
        self.config = self.experiment.server
        self.generator = load_generator(self.order.bench.name)
        self.turn = LevelsInTurn(self.order)

    def steps(self) -> Iterator[AttemptEvent]:
        """Carry it out, event by event; the server is gone at the end, whatever happens.

        Raises:
            AttemptFailedError, AttemptCancelledError: there is no sense in going on.
            LaunchError: the server or the load generator could not be started at all.
        """
        self.facts["bench_version"] = self.generator.version(self.prepared.load_context())
        held = held_compile_cache(self.config, self.engine)
        with held as cache, closing(self._boot()) as booted:
            yield from self._served(booted, cache)
            if cache is not None and not self.failed_levels:
                cache.keep()

    def _boot(self) -> Booted:
        """Have the load generator get ready beside the server's start, which is not measured."""
        ahead = self.turn.known_ahead
        if ahead is None:
            return Booted()
        target, context = self.prepared.target(_UNKNOWN_URL), self.prepared.load_context()
        return self.generator.boot(target, *ahead, context)

    def _served(self, booted: Booted, cache: CompileCache | None) -> Iterator[AttemptEvent]:
        yield PhaseStarted(Phase.SERVER_START)
        self.phase = Phase.SERVER_START
        if cache is not None:
            self.facts["compile_cache"] = "warm" if cache.warm else "cold"
        server = self._start_server(cache)
        try:
            with self._timed(Phase.SERVER_START), self._model_read_ahead():
                target = self._await_server(server)
            yield PhaseStarted(Phase.WARMUP)
            with self._timed(Phase.WARMUP):
                self._warm_up(server, target)
            yield PhaseStarted(Phase.LOAD)
            yield from self._load(server, target, booted)
        finally:
            self.facts |= server.facts
            with self._timed(Phase.STOP):
                server.stop(hurry=self.should_stop() is not None)

    def outcome(self) -> Outcome:
        """How it ended, where `steps` came to their end."""
        if not self.failed_levels:
            pruned = self.turn.pruned
            return Completed() if pruned is None else Pruned(pruned)
        first, kind = self.failed_levels[0]
        return Failed(
            kind,
            Phase.LOAD,
            f"{len(self.failed_levels)} of {self.turn.loaded} levels have no valid measurement, "
            f"the first is {first.level}",
            first.reason or "",
        )

    def check_cancelled(self) -> None:
        """Raises:
        AttemptCancelledError: somebody wants the attempt to end.
        """
        if reason := self.should_stop():
            raise AttemptCancelledError(Cancelled(reason))

    def _start_server(self, cache: CompileCache | None) -> Server:
        def on_command(command: str) -> None:
            self.facts["command"] = command

        if self.ranks is not None:
            return self.ranks.start(self.prepared, on_command, cache)
        request = self.prepared.launch_request(on_command, cache)
        return load_launcher(self.config.launcher).start(request)

    def _await_server(self, server: Server) -> Target:
        # Beside the start, since it can take as long: a crash must still be seen at once.
        self.facts["engine_version"] = None
        version = threading.Thread(target=self._ask_version, args=(server,), daemon=True)
        version.start()
        _rows_maker()  # its import has time now
        target = wait_until_ready(
            server,
            self.prepared.target,
            self.engine,
            timeout_s=self.order.timeouts.start_s,
            check_cancelled=self.check_cancelled,
        )
        version.join()
        if self.facts["engine_version"] is None:
            self.facts["engine_version"] = served_version(self.engine, target)
        if self.ranks is not None:
            self.ranks.check_versions(self.facts["engine_version"])
        kernel = kernel_facts(server.pid)
        self.facts |= {"nice": kernel.nice, "oom_score_adj": kernel.oom_score_adj}
        return target

    def _model_read_ahead(self) -> AbstractContextManager[None]:
        """Beside the imports of a server that reads the model from this node."""
        here = self.config.launch is None or isinstance(self.config.launch, DockerSettings)
        return reading_ahead(self.config.model.path) if here else nullcontext()

    def _ask_version(self, server: Server) -> None:
        command = self.engine.version_command(self.config)
        self.facts["engine_version"] = None if command is None else server.ask(command)

    def _warm_up(self, server: Server, target: Target) -> None:
        self.phase = Phase.WARMUP
        for workload in self.experiment.workloads:
            warm_up(
                server,
                target,
                self.engine,
                workload,
                timeout_s=self.order.timeouts.warmup_s,
                check_cancelled=self.check_cancelled,
            )

    def _load(
        self, server: Server, target: Target, booted: Booted | None
    ) -> Iterator[LevelMeasured]:
        self.phase = Phase.LOAD
        context = self._watched(self.prepared.load_context(target.url), server)
        rows_of = _rows_maker()
        started, load_s = time.monotonic(), 0.0
        try:
            for workload, levels in self.turn.groups():
                loading = self.generator.run(target, workload, levels, context, booted)
                booted = None  # it was for the first workload
                with closing(loading) as loads:
                    for load in loads:
                        result = rows_of(self.prepared, load)
                        duration_s = result.summary.get("duration_s")
                        load_s += duration_s if isinstance(duration_s, float) else 0.0
                        self.turn.saw(result)
                        yield LevelMeasured(result)
                        self._check_after_level(server, target, load, result)
            self.facts["levels_end"] = self.turn.end_reason
            yield from self._left_out()
        finally:
            self.facts["seconds_load"] = load_s
            self.facts["seconds_bench_overhead"] = time.monotonic() - started - load_s

    def _left_out(self) -> Iterator[LevelMeasured]:
        from autotuner.results.level_rows import skipped

        attempt, simulated = self.order.attempt, self.engine.simulated
        for level, reason in self.turn.left_out():
            yield LevelMeasured(skipped(level, attempt, reason, simulated=simulated))

    def _check_after_level(
        self, server: Server, target: Target, load: LevelLoad, result: LevelResult
    ) -> None:
        """Stop the attempt here if the levels to come can only fail."""
        self.check_cancelled()
        if server.exit is not None:
            raise AttemptFailedError(server_ended(server, self.engine, Phase.LOAD, ready=True))
        ok = result.status is LevelStatus.OK
        # A hang shows in the next level at the latest; the last one has none.
        last = self.turn.at_end
        # None: it may have cut some, and does not say.
        if ok and not (last and result.summary["requests_cut"] != 0):
            return
        # It may answer with errors only: the next level may fare better.
        well = answers(
            server,
            target,
            self.engine,
            after=load.level,
            silent_s=load.silent_s,
            no_token_s=self.order.timeouts.no_token_s,
            check_cancelled=self.check_cancelled,
        )
        if not ok:
            kind = kind_of_level_failure(load, well=well)
            if kind not in _OF_THE_LOAD or not self.turn.tolerates(load.level):
                self.failed_levels.append((result, kind))

    def _watched(self, context: LoadContext, server: Server) -> LoadContext:
        def why_stop() -> str | None:
            if reason := self.should_stop():
                return reason
            return f"the server ended ({ended})" if (ended := server.exit) else None

        meter = CpuMeter(context.folder, lambda: server.pid)
        return replace(context, should_stop=why_stop, watch_cpus=meter.watch)

    @contextmanager
    def _timed(self, phase: Phase) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.facts[f"seconds_{phase.value}"] = time.monotonic() - started


def _rows_maker() -> Callable[[Preparation, LevelLoad], LevelResult]:
    """What makes rows of a load.

    It brings pyarrow and its functions, whose import would keep the devices idle before the start.
    """
    from autotuner.node.masked_rows import masked_rows

    return masked_rows
