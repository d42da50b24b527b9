"""Progress of a running study: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from autotuner.cli.preparation_lines import duration, preparation_lines
from autotuner.cli.search_progress import SearchProgress
from autotuner.cli.tables import one_line, telling_line
from autotuner.driver.progress import (
    AttemptFinished,
    AttemptStarted,
    AttemptWaiting,
    CandidatesRefused,
    EnginesAsked,
    FlagsRefused,
    LevelFinished,
    NodeNotReady,
    NodeSetAside,
    NodesPrepared,
    NodesPreparing,
    PhaseEntered,
    ResultsNote,
    RoomAwaited,
    RoundStarted,
    SearchEnded,
    SlotFreed,
    SlotQuarantined,
    StudyEnded,
    StudyEvent,
    StudyStarted,
)
from autotuner.results.levels import LevelResult, LevelStatus
from autotuner.spec.experiment import (
    Attempt,
    Cancelled,
    Completed,
    Experiment,
    Failed,
    Outcome,
    Phase,
    Pruned,
    Purpose,
)
from autotuner.spec.workload import Level

__all__ = ["Progress", "output_console", "progress_display"]

_PIPE_WIDTH = 140
_REASON_CHARS = 120


def output_console() -> Console:
    """Standard output; wide where it is a file or a pipe, which has no width of its own."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)


@contextmanager
def progress_display(console: Console) -> Iterator[Callable[[StudyEvent], None]]:
    """The function to pass as ``on_event``."""
    progress = Progress()
    if not console.is_terminal:
        yield lambda event: _print_lines(console, progress, event)
        return
    with Live(console=console, get_renderable=progress.render, refresh_per_second=4) as live:
        yield lambda event: _print_lines(live.console, progress, event)


def _print_lines(console: Console, progress: Progress, event: StudyEvent) -> None:
    progress.update(event)
    with suppress(OSError):  # a terminal that went away must not end the study
        for line in progress.lines(event):
            console.print(f"[dim]{time.strftime('%H:%M:%S')}[/]  {line}", soft_wrap=True)


class Progress:
    """Counts and the state of each running attempt."""

    def __init__(self) -> None:
        self._total = self._done = self._failed = 0
        self._running: dict[str, tuple[str, str]] = {}
        self._levels: dict[str, tuple[Level, ...]] = {}
        """Of each running attempt, in the order in which they run; empty where it is decided
        level by level."""
        self._loaded: dict[str, int] = {}
        """Levels that each running attempt has behind it."""
        self._skipped: dict[str, int] = {}
        self._started_at = time.monotonic()
        self._measured_here = 0
        self._search: SearchProgress | None = None

    def update(self, event: StudyEvent) -> None:
        if self._search is not None:
            self._search.update(event)
        match event:
            case StudyStarted(plan=plan, reused=reused, given_up=given_up):
                self._total, self._done, self._failed = len(plan.experiments), reused, given_up
                self._started_at = time.monotonic()
                if not plan.spec.searching.measures_everything:
                    self._search = SearchProgress(plan, reused + given_up)
            case AttemptStarted(attempt=attempt, levels=levels):
                self._running[attempt.id] = (attempt.experiment.label, "starting")
                self._levels[attempt.id] = levels
                self._loaded[attempt.id] = self._skipped[attempt.id] = 0
            case PhaseEntered(attempt=attempt, phase=Phase.LOAD):
                self._loading(attempt)
            case PhaseEntered(attempt=attempt, phase=phase):
                self._running[attempt.id] = (attempt.experiment.label, _spoken(phase.value))
            case LevelFinished(attempt=attempt, result=result):
                skipped = _is_skipped(result)
                self._skipped[attempt.id] += skipped
                self._loaded[attempt.id] += not skipped
                self._loading(attempt)
            case AttemptFinished(attempt=attempt, outcome=outcome, will_retry=will_retry):
                self._running.pop(attempt.id, None)
                for by_attempt in (self._levels, self._loaded, self._skipped):
                    del by_attempt[attempt.id]
                if attempt.purpose is not Purpose.SEARCH:
                    return  # counted before
                self._done += isinstance(outcome, Completed | Pruned)
                self._failed += isinstance(outcome, Failed) and not will_retry
                self._measured_here += not (will_retry or isinstance(outcome, Cancelled))

    def _loading(self, attempt: Attempt) -> None:
        levels, index = self._levels[attempt.id], self._loaded[attempt.id]
        state = "stopping the server"
        if index < len(levels):
            state = f"level {index + 1}/{len(levels)}: {levels[index]}"
        elif not levels and not self._skipped[attempt.id]:
            state = f"level {index + 1}"
        self._running[attempt.id] = (attempt.experiment.label, state)

    def lines(self, event: StudyEvent) -> Iterator[str]:
        """What is worth a lasting line."""
        match event:
            case (
                NodesPreparing()
                | NodeNotReady()
                | NodesPrepared()
                | EnginesAsked()
                | FlagsRefused()
            ):
                yield from preparation_lines(event)
            case StudyStarted(plan=plan, reused=reused, given_up=given_up, dashboard=dashboard):
                if self._search is not None:
                    yield from self._search.begun()
                else:
                    levels = plan.levels // len(plan.experiments)
                    baseline = ", the baseline among them" if plan.baseline else ""
                    yield f"{len(plan.experiments)} experiments x {levels} levels{baseline}"
                if plan.simulated:
                    yield "[yellow]SIMULATED engine: says nothing about real hardware[/]"
                if reused:
                    yield f"{reused} already complete in the results folder, not measured again"
                if given_up:
                    yield f"{given_up} failed for good before, not tried again (--retry-failed)"
                if dashboard:
                    yield f"Ray dashboard: {dashboard}"
            case CandidatesRefused(refused=refused):
                experiment, why = refused[0]
                yield f"{len(refused)} candidates are not measured, as they cannot fit, such as"
                yield f"  {escape(experiment.label)}: {escape(why)}"
            case SearchEnded(why=why, asked=asked, candidates=candidates):
                of = f"{asked:,} of {candidates:,} candidates"
                yield f"[bold]search ended[/], {of}: {escape(why)}"
            case RoundStarted(experiments=experiments, purpose=Purpose.DRIFT_CHECK, why=why):
                label = escape(experiments[0].label)
                yield f"[bold]drift check[/], {label} once more: {escape(why)}"
            case RoundStarted(experiments=experiments, why=why):
                labels = ", ".join(experiment.label for experiment in experiments)
                yield f"[bold]again, on fresh servers[/]: {escape(labels)} ({escape(why)})"
            case AttemptStarted(attempt=attempt, host=host):
                number = f", attempt {attempt.number}" if attempt.number > 1 else ""
                why = self._why(attempt)
                yield f"{self._count(attempt.experiment)} started on {host}{number}: " + (
                    f"{escape(attempt.experiment.label)}{why}"
                )
            case AttemptWaiting(attempt=attempt, host=host, waited_s=waited_s):
                yield (
                    f"{self._count(attempt.experiment)} [yellow]still not begun after "
                    f"{waited_s:.0f} s[/]: another user may hold the GPUs or CPUs of {host}"
                )
            case RoomAwaited(experiment=experiment, others=others, waited_s=waited_s):
                why = "others hold what it needs" if others else "no node here could hold it"
                yield (
                    f"[yellow]nothing runs for {duration(waited_s)}[/]: "
                    f"{escape(experiment.label)} waits, as {why}"
                )
            case LevelFinished(attempt=attempt, result=result) if _is_skipped(result):
                if self._skipped[attempt.id] == 1:
                    why = escape(one_line(result.reason or "", _REASON_CHARS))
                    yield f"{self._count(attempt.experiment)} no more levels: {why}"
            case LevelFinished(attempt=attempt, result=result):
                yield f"{self._count(attempt.experiment)} {_level_line(result)}"
            case AttemptFinished(attempt=attempt, outcome=outcome, will_retry=will_retry):
                again = ", to be tried again" if will_retry else f"; {self._tally()}"
                yield f"{self._count(attempt.experiment)} {_outcome_line(outcome)}{again}"
            case SlotQuarantined(attempt=attempt, host=host, fault=fault):
                yield (
                    f"{self._count(attempt.experiment)} [yellow]its devices on {host} are "
                    f"kept from others[/]: {escape(fault)}"
                )
            case SlotFreed(attempt=attempt, host=host):
                number = self._count(attempt.experiment)
                yield f"{number} its devices on {host} are free again"
            case ResultsNote(text=text):
                yield f"[yellow]results[/]: {escape(text)}"
            case NodeSetAside(host=host):
                yield (
                    f"[yellow]{host} gets nothing for half an hour[/]: experiments fail there that "
                    "run elsewhere"
                )
            case StudyEnded(interrupted=True):
                yield "[yellow]interrupted[/]"
            case StudyEnded(stopped=str()):
                yield "[red]stopped early[/]"

    def render(self) -> RenderableType:
        lines = [Text(f"  {label}: {state}") for label, state in self._running.values()]
        return Group(*lines, Text(self._tally(), style="bold"))

    def _count(self, experiment: Experiment) -> str:
        number, of = experiment.index + 1, f"/{self._total}"
        if self._search is not None:
            number, most = self._search.number(experiment), self._search.most
            of = "" if most is None else f"/{most}"
        return f"[bold][{number}{of}][/]".replace("[bold][", "[bold]\\[")

    def _why(self, attempt: Attempt) -> str:
        if self._search is None:
            return ""
        return self._search.why(attempt.experiment, attempt.purpose)

    def _tally(self) -> str:
        if self._search is not None:
            return self._search.tally(len(self._running), self._done, self._failed)
        left = self._total - self._done - self._failed
        tally = f"{len(self._running)} running, {self._done} done, {self._failed} failed"
        if not left or not self._measured_here:
            return f"{tally}, {left} left"
        pace_s = (time.monotonic() - self._started_at) / self._measured_here
        return f"{tally}, {left} left, about {duration(pace_s * left)} to go"


def _is_skipped(result: LevelResult) -> bool:
    return result.status is LevelStatus.SKIPPED


def _level_line(result: LevelResult) -> str:
    level = escape(str(result.level))
    if result.status is not LevelStatus.OK:
        reason = escape(one_line(result.reason or "", _REASON_CHARS))
        return f"{level}: [red]{result.status.value}[/] {reason}"
    row = result.summary
    return (
        f"{level}: {row['output_throughput_tok_s']:.0f} tok/s, "
        f"TTFT p50 {_ms(row['ttft_s_p50'])}, TPOT p50 {_ms(row['tpot_s_p50'])}, "
        f"{row['requests_completed']} requests in {row['duration_s']:.1f} s"
    )


def _outcome_line(outcome: Outcome) -> str:
    match outcome:
        case Completed():
            return "[green]completed[/]"
        case Pruned(reason=reason):
            return (
                f"[green]given up[/], as it cannot win: {escape(one_line(reason, _REASON_CHARS))}"
            )
        case Cancelled(reason=reason):
            return f"[yellow]cancelled[/]: {escape(reason)}"
        case Failed(kind=kind, phase=phase, message=message, evidence=evidence):
            said = f" ({telling_line(evidence)})" if evidence else ""
            what = escape(one_line(message, _REASON_CHARS) + said)
            return f"[red]{kind.value}[/] at {_spoken(phase.value)}: {what}"


def _ms(seconds: object) -> str:
    return f"{seconds * 1000:.1f} ms" if isinstance(seconds, float) else "unknown"


def _spoken(name: str) -> str:
    return name.replace("_", " ")
