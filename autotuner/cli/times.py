"""Where the time of a study went, as terminal tables."""

from __future__ import annotations

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autotuner.results.gpu_time import GpuTime, gpu_time
from autotuner.results.load import StudyResults
from autotuner.spec.experiment import Phase

__all__ = ["print_gpu_time", "print_timings"]

_TIMINGS = (
    "actor_start",
    *(p.value for p in Phase if p is not Phase.STOP),
    "bench_overhead",
    "stop",
    "reserved",
    "idle",
)
_NAMES = {"warmup": "warm-up"}
_HOUR_S, _MINUTE_S = 3600.0, 60.0
_SHORT_S = 600.0
"""Shorter times are told in seconds."""


def print_timings(results: StudyResults, console: Console) -> None:
    """Seconds of each phase, one row per attempt that has ended."""
    console.print("\n[bold]seconds per phase[/]")
    table = Table(box=SIMPLE_HEAD)
    table.add_column("parameters", overflow="fold")
    for name in _TIMINGS:
        table.add_column(name.replace("_", "\n"), justify="right")
    for row in results.experiments.sort_values("started_at").to_dict("records"):
        seconds = (_seconds(row.get(f"seconds_{name}")) for name in _TIMINGS)
        table.add_row(escape(str(row["label"])), *seconds)
    console.print(table)


def print_gpu_time(results: StudyResults, console: Console) -> None:
    """Shares of the reserved time of all attempts; nothing where no row knows it."""
    time = gpu_time(results.attempts.to_dict("records"))
    if not time.reserved:
        return
    of_what = "GPU time (GPUs x time)" if time.of_gpus else "time (no GPUs)"
    console.print(f"\n[bold]reserved {of_what}[/]")
    table = Table(box=SIMPLE_HEAD)
    parts = {_NAMES.get(name, name): value for name, value in time.shares.items()}
    if time.untold:
        parts["not told"] = time.untold
    for name in ("all", *parts):
        table.add_column(name, justify="right")
    table.add_row(*(_amount(value) for value in (time.reserved, *parts.values())))
    table.add_row("100 %", *(f"{100 * value / time.reserved:.0f} %" for value in parts.values()))
    console.print(table)
    for note in _notes(time):
        console.print(f"[dim]{escape(note)}[/]", soft_wrap=True)


def _notes(time: GpuTime) -> list[str]:
    notes = [f"Of {time.attempts} attempts, failed ones included."]
    if time.untold:
        notes.append("Not told: attempts that were lost could not say what their time went to.")
    if time.devices and time.device_s:
        share = 100 * time.between_s / time.device_s
        notes.append(
            f"Between attempts, {time.devices} GPUs stood idle for {_amount(time.between_s)}, "
            f"{share:.0f} % of their time from the study's first start to its last end."
        )
    return notes


def _amount(seconds: float) -> str:
    """Of GPUs x seconds or of seconds, in a unit that fits."""
    if seconds < _SHORT_S:
        return f"{seconds:.1f} s"
    if seconds < _HOUR_S:
        return f"{seconds / _MINUTE_S:.1f} min"
    return f"{seconds / _HOUR_S:,.1f} h"


def _seconds(value: object) -> str:
    return "" if not isinstance(value, float) or pd.isna(value) else f"{value:.1f}"
