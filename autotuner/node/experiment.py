"""One attempt on one node: start the server, warm it up, load it level by level, stop it.

No Ray here: an executor calls `run_attempt` and passes its events on.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from autotuner.bench.base import LevelLoad, LoadContext, Target
from autotuner.bench.registry import load_generator
from autotuner.errors import LaunchError
from autotuner.launchers.base import Server
from autotuner.launchers.registry import load_launcher
from autotuner.node.events import (
    AttemptEnded,
    AttemptEvent,
    AttemptOrder,
    LevelMeasured,
    PhaseStarted,
)
from autotuner.node.facts import engine_version, host_name
from autotuner.node.failures import (
    AttemptCancelledError,
    AttemptFailedError,
    masked,
    server_ended,
)
from autotuner.node.liveness import answers
from autotuner.node.logs import collect_logs
from autotuner.node.preparation import Preparation, prepare
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
)
from autotuner.supervision.environment import kernel_facts

__all__ = ["run_attempt"]


def run_attempt(
    order: AttemptOrder,
    *,
    gpu_ids: Sequence[str] = (),
    should_stop: Callable[[], str | None] = lambda: None,
) -> Iterator[AttemptEvent]:
    """Run the attempt and yield its events; the last one is always `AttemptEnded`.

    Args:
        gpu_ids: Devices that this attempt may use, as CUDA_VISIBLE_DEVICES spells them.
        should_stop: Asked several times a second: a reason to cancel, or None.
    """
    # Private: it holds logs and genai-bench's own files before secrets are masked.
    folder = Path(tempfile.mkdtemp(prefix=f"autotuner-{order.attempt.id}-"))
    try:
        prepared = prepare(order, gpu_ids, folder)
        yield from _AttemptRun(prepared, tuple(gpu_ids), should_stop).events()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _AttemptRun:
    prepared: Preparation
    gpu_ids: tuple[str, ...]
    should_stop: Callable[[], str | None]
    facts: dict[str, object] = field(default_factory=dict)
    phase: Phase = Phase.PREFLIGHT
    failed_levels: list[tuple[LevelResult, bool]] = field(default_factory=list)
    """Levels without a valid measurement, and whether the load generator is to blame."""

    def __post_init__(self) -> None:
        self.order = self.prepared.order
        self.engine = self.prepared.engine
        self.experiment = self.order.attempt.experiment
        self.config = self.experiment.server
        self.generator = load_generator(self.order.bench.name)

    def events(self) -> Iterator[AttemptEvent]:
        self.facts |= {
            "host": host_name(),
            "gpu_ids": list(self.gpu_ids),
            "simulated": self.engine.simulated,
            "bench": self.generator.name,
            "omp_num_threads": self.prepared.environment.get("OMP_NUM_THREADS"),
            "started_at": datetime.now(UTC),
        }
        outcome: Outcome
        try:
            yield from self._measure()
            outcome = self._outcome_of_levels()
        except AttemptFailedError as error:
            outcome = error.failed
        except AttemptCancelledError as error:
            outcome = error.cancelled
        except LaunchError as error:
            outcome = Failed(FailureKind.LAUNCH_FAILED, self.phase, str(error))
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            outcome = Failed(
                FailureKind.INTERNAL_ERROR, self.phase, message, traceback.format_exc()
            )
        self.facts["ended_at"] = datetime.now(UTC)
        secrets = self.prepared.secrets
        logs = collect_logs(self.prepared.folder, secrets)
        yield AttemptEnded(masked(outcome, secrets), self.facts, logs)

    def _measure(self) -> Iterator[AttemptEvent]:
        yield PhaseStarted(Phase.PREFLIGHT)
        with self._timed(Phase.PREFLIGHT):
            context = self.prepared.load_context()
            self.facts["bench_version"] = self.generator.version(context)
        yield PhaseStarted(Phase.SERVER_START)
        self.phase = Phase.SERVER_START
        request = self.prepared.launch_request(lambda command: self.facts.update(command=command))
        server = load_launcher(self.config.launcher).start(request)
        try:
            target = self.prepared.target(server.url)
            with self._timed(Phase.SERVER_START):
                self._await_server(server, target)
            yield PhaseStarted(Phase.WARMUP)
            with self._timed(Phase.WARMUP):
                self._warm_up(server, target)
            yield PhaseStarted(Phase.LOAD)
            yield from self._load(server, target, context)
        finally:
            with self._timed(Phase.STOP):
                server.stop()

    def _await_server(self, server: Server, target: Target) -> None:
        # Beside the start, since it can take as long: a crash must still be seen at once.
        self.facts["engine_version"] = None
        version = threading.Thread(target=self._ask_version, daemon=True)
        version.start()
        wait_until_ready(
            server,
            target,
            self.engine,
            timeout_s=self.order.timeouts.start_s,
            check_cancelled=self._check_cancelled,
        )
        version.join()
        kernel = kernel_facts(server.pid)
        self.facts |= {"nice": kernel.nice, "oom_score_adj": kernel.oom_score_adj}

    def _ask_version(self) -> None:
        version = engine_version(self.engine, self.config, self.prepared.environment)
        self.facts["engine_version"] = version

    def _warm_up(self, server: Server, target: Target) -> None:
        self.phase = Phase.WARMUP
        for workload in self.experiment.workloads:
            warm_up(
                server,
                target,
                self.engine,
                workload,
                timeout_s=self.order.timeouts.warmup_s,
                check_cancelled=self._check_cancelled,
            )

    def _load(
        self, server: Server, target: Target, context: LoadContext
    ) -> Iterator[LevelMeasured]:
        self.phase = Phase.LOAD
        context = self._watched(context, server)
        started, load_s = time.monotonic(), 0.0
        for workload in self.experiment.workloads:
            with closing(self.generator.run(target, workload, workload.levels, context)) as loads:
                for load in loads:
                    result = self.prepared.result(load)
                    duration_s = result.summary.get("duration_s")
                    load_s += duration_s if isinstance(duration_s, float) else 0.0
                    self.facts["seconds_load"] = load_s
                    self.facts["seconds_bench_overhead"] = time.monotonic() - started - load_s
                    yield LevelMeasured(result)
                    self._check_after_level(server, target, load, result)

    def _check_after_level(
        self, server: Server, target: Target, load: LevelLoad, result: LevelResult
    ) -> None:
        """Stop the attempt here if the levels to come can only fail."""
        self._check_cancelled()
        if server.exit is not None:
            raise AttemptFailedError(server_ended(server, self.engine, Phase.LOAD, ready=True))
        ok = result.status is LevelStatus.OK
        # A hang shows in the next level at the latest; the last one has none.
        last = load.level == self.experiment.levels[-1]
        if ok and not (last and result.summary["requests_cut"]):
            return
        # It may answer with errors only: the next level may fare better.
        well = answers(server, target, self.engine, after=load.level)
        if not ok:
            self.failed_levels.append((result, load.failure is not None and well))

    def _outcome_of_levels(self) -> Outcome:
        if not self.failed_levels:
            return Completed()
        first, bench_failed = self.failed_levels[0]
        return Failed(
            FailureKind.BENCH_FAILED if bench_failed else FailureKind.REQUESTS_FAILED,
            Phase.LOAD,
            f"{len(self.failed_levels)} of {len(self.experiment.levels)} levels have no valid "
            f"measurement, the first is {first.level}",
            first.reason or "",
        )

    def _watched(self, context: LoadContext, server: Server) -> LoadContext:
        def why_stop() -> str | None:
            if reason := self.should_stop():
                return reason
            return f"the server ended ({ended})" if (ended := server.exit) else None

        return replace(context, should_stop=why_stop)

    def _check_cancelled(self) -> None:
        if reason := self.should_stop():
            raise AttemptCancelledError(Cancelled(reason))

    @contextmanager
    def _timed(self, phase: Phase) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.facts[f"seconds_{phase.value}"] = time.monotonic() - started
