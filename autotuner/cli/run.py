"""Measure every experiment of a study and rank them.

Experiments that the results folder already holds complete are not measured again, so that an
interrupted study goes on where it stopped; nor are those that failed for good, such as one that
ran out of memory. Ctrl-C ends servers and keeps results; a second one ends at once.
"""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.markup import escape

from autotuner.cli.conclusions import print_findings, print_winner
from autotuner.cli.display import output_console, progress_display
from autotuner.cli.plan import print_warnings
from autotuner.cli.study_file import add_launcher_arguments, plan_of
from autotuner.cli.tables import print_failures, print_ranking
from autotuner.driver.progress import StudyEnded, StudyEvent
from autotuner.results.load import StudyResults
from autotuner.study import run

__all__ = ["HELP", "NAME", "add_arguments", "execute"]

NAME = "run"
HELP = "measure a study and rank its configurations"

EXIT_NO_SUCCESS = 2
EXIT_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="study file, YAML or JSON")
    add_launcher_arguments(parser)
    parser.add_argument(
        "--address",
        help="Ray cluster, e.g. auto; default: RAY_ADDRESS, else a Ray is started on this machine",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="results folder or s3://BUCKET/PREFIX, instead of the study's own",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on in the results folder though the study file has changed: what is still in the "
        "study is used again, the rest is put aside (an unchanged study always goes on)",
    )
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="try again what failed for good, e.g. after an upgrade of the engine",
    )


def execute(arguments: argparse.Namespace) -> int:
    planned = plan_of(arguments.file, arguments.launcher, arguments.image)
    console = output_console()
    print_warnings(planned, console)
    output = arguments.output or planned.spec.output
    end = StudyEnded(interrupted=False)

    def on_event(event: StudyEvent) -> None:
        nonlocal end
        show(event)
        if isinstance(event, StudyEnded):
            end = event

    with _interrupt_by_signal() as interrupt, progress_display(console) as show:
        results = run(
            planned,
            output=output,
            address=arguments.address,
            on_event=on_event,
            interrupt=interrupt,
            resume_changed=arguments.resume,
            retry_failed=arguments.retry_failed,
        )
    print_ranking(results, console)
    print_failures(results, console)
    print_findings(results, console, output)
    print_winner(results, console)
    console.print(f"results: {output}", soft_wrap=True)
    if end.stopped is not None:
        console.print(f"[red]stopped early[/]: {escape(end.stopped)}", soft_wrap=True)
    if end.interrupted:
        console.print("interrupted; the same command goes on where this one stopped")
        return EXIT_INTERRUPTED
    return exit_status(results, stopped=end.stopped is not None)


def exit_status(results: StudyResults, *, stopped: bool = False) -> int:
    """0 only with a winner of all: a script that deploys what comes out must stop without one."""
    return EXIT_NO_SUCCESS if stopped or results.ranking().winner is None else 0


@contextmanager
def _interrupt_by_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; the second signal acts as Python's default."""
    interrupt = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if interrupt.is_set():
            raise KeyboardInterrupt
        interrupt.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, on_signal) for number in numbers]
    try:
        yield interrupt
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
