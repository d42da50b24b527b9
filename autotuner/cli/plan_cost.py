"""What a study is expected to cost, as `autotuner plan` prints it."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autotuner.cli.search_progress import limits_text
from autotuner.driver.costing import Cost, Part
from autotuner.driver.searching.searched import cannot_fit
from autotuner.planning import ASSUMED_START_S, Plan
from autotuner.spec.searching import LevelChoice
from autotuner.spec.server import spelled
from autotuner.spec.study import Axis
from autotuner.spec.study_problems import flow_text

__all__ = ["print_cost", "print_space"]

_MOST_VALUES = 16
"""Of an axis, so many are shown."""


def print_space(planned: Plan, console: Console) -> None:
    """Of a study that searches: how many candidates of how many, and those that cannot fit."""
    searching = planned.spec.searching
    if searching.measures_everything:
        return
    drawn = ""
    if planned.is_drawn:
        drawn = (
            f", drawn evenly from {planned.combinations:,} combinations with the seed "
            f"{searching.seed} (max_candidates)"
        )
    console.print(
        f"search: {escape(searching.strategy)} chooses among {len(planned.experiments):,} "
        f"candidates{drawn}{limits_text(searching.budget, '; ')}{_stop_rules(planned)}"
    )
    for axis in planned.spec.axes:
        console.print(f"  {escape(axis.name)}: {escape(_values(axis))}", highlight=False)
    if searching.estimator is None:
        return
    refused = cannot_fit(planned, None, ())
    by_id = {experiment.id: experiment for experiment in planned.experiments}
    for id_, misfit in list(refused.items())[:1]:
        console.print(
            f"[yellow]{len(refused):,} candidates cannot fit and are not measured, such as[/] "
            f"{escape(by_id[id_].label)}: {escape(misfit.arithmetic)}"
        )


def print_cost(cost: Cost, planned: Plan, console: Console) -> None:
    """Servers, GPU-hours, time and price of each part, and what is assumed."""
    table = Table(box=SIMPLE_HEAD, title="expected cost", title_justify="left")
    table.add_column("")
    table.add_column("servers", justify="right")
    if cost.total.gpu_hours:
        table.add_column("GPU-hours", justify="right")
    table.add_column("one by one", justify="right")
    if cost.total.hours is not None:
        table.add_column(f"on {cost.gpus:,} GPUs", justify="right")
    if cost.usd_per_gpu_hour is not None:
        table.add_column("USD", justify="right")
    for part in (*cost.parts, cost.total) if len(cost.parts) > 1 else cost.parts:
        table.add_row(*_cells(cost, part))
    console.print(table)
    console.print(escape(f"Assumed: {_assumptions(planned, cost)}."))


def _cells(cost: Cost, part: Part) -> list[str]:
    cells = [part.name, f"{'up to ' if part.is_bound else ''}{part.servers:,}"]
    if cost.total.gpu_hours:
        cells.append(f"{part.gpu_hours:,.1f}")
    cells.append(_time(part.server_hours))
    if cost.total.hours is not None and part.hours is not None:
        cells.append(_time(part.hours))
    if (usd := cost.usd(part)) is not None:
        cells.append(f"{usd:,.2f}")
    return cells


def _assumptions(planned: Plan, cost: Cost) -> str:
    parts = [
        "every level runs to its time limit (`stop.requests` ends it sooner)",
        f"{ASSUMED_START_S:g} s to start a server",
        "nothing fails",
    ]
    if planned.spec.searching.levels is LevelChoice.ADAPTIVE:
        parts.append("no level is left out, though `levels: adaptive` leaves out many")
    if len({experiment.footprint.gpus for experiment in planned.experiments}) > 1:
        parts.append("an experiment is as wide as the candidates are on average")
    if cost.gpus is None and cost.total.gpu_hours:
        parts.append(
            "how many GPUs there are is not known: --gpus N, or `max_gpus`, gives the time"
        )
    return "; ".join(parts)


def _stop_rules(planned: Plan) -> str:
    rules = planned.spec.searching.stop_when
    words = []
    if rules.no_improvement is not None:
        effect = f"{100 * planned.spec.judging.minimal_effect:g} %"
        words.append(f"{rules.no_improvement} experiments in a row better nothing by {effect}")
    if rules.expected_gain_below is not None:
        words.append(f"less than {100 * rules.expected_gain_below:g} % is to be gained")
    return f"; until {' or '.join(words)}" if words else ""


def _values(axis: Axis) -> str:
    """All of few, and of many the ends."""
    shown = [
        ", ".join(spelled(value) for value in point.values())
        if len(axis.parameters) == 1
        else flow_text(dict(point))
        for point in axis.points
    ]
    if len(shown) > _MOST_VALUES:
        half = _MOST_VALUES // 2
        shown = [*shown[:half], "...", *shown[-half:], f"({len(axis.points):,} values)"]
    return ", ".join(shown)


def _time(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:,.1f} days"
    return f"{hours:.1f} h" if hours >= 2 else f"{60 * hours:.0f} min"
