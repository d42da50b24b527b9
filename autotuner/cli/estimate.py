"""What a study's configurations may do, before anything is measured: no GPU, Ray or network.

An estimate orders what is worth measuring first. It is no measurement: absolute numbers are often
off by a quarter, those of the time to first token by half and more.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autotuner.cli.display import output_console
from autotuner.cli.study_file import add_launcher_arguments, plan_of
from autotuner.planning import Plan
from autotuner.search.estimators.base import Estimate, Unknown
from autotuner.search.estimators.forecast import Expected, ExpectedLevel, forecast, reasons
from autotuner.search.estimators.registry import load_estimator
from autotuner.spec.experiment import Experiment

__all__ = ["HELP", "NAME", "add_arguments", "execute"]

NAME = "estimate"
HELP = "what the configurations of a study may do, before anything is measured"

_DEFAULT = "roofline"
_MOST = 40
_MOST_LEVELS = 10
_SMALL = 0.5
"""A standard deviation of a logarithm above which a percentage would mislead."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="study file, YAML or JSON")
    add_launcher_arguments(parser)
    parser.add_argument(
        "--gpu", metavar="NAME", help="model of the GPUs, e.g. H100; default: resources.gpu_type"
    )
    parser.add_argument(
        "--estimator",
        metavar="NAME",
        help="roofline, aiconfigurator, a folder of earlier results, or several with + between "
        f"them; default: the study's search.estimator, else {_DEFAULT}",
    )
    parser.add_argument(
        "--most",
        type=int,
        default=_MOST,
        metavar="N",
        help=f"experiments to show, the most promising first; default {_MOST}, 0 for all",
    )
    parser.add_argument("--json", action="store_true", help="all estimates as JSON, for scripts")


def execute(arguments: argparse.Namespace) -> int:
    planned = plan_of(arguments.file, arguments.launcher, arguments.image)
    name = arguments.estimator or planned.spec.searching.estimator or _DEFAULT
    estimator = load_estimator(name)
    expected = forecast(planned.experiments, planned.spec.judging, estimator, arguments.gpu)
    if arguments.json:
        print(json.dumps(_json(planned, name, expected), indent=2, allow_nan=False))
        return 0
    shown = expected[: arguments.most] if arguments.most > 0 else expected
    _print(planned, name, expected, shown, output_console())
    return 0


def _print(
    planned: Plan,
    estimator: str,
    expected: Sequence[Expected],
    shown: Sequence[Expected],
    console: Console,
) -> None:
    spec = planned.spec
    console.print(f"[bold]study {escape(spec.name)}[/]  estimated by {escape(estimator)}")
    if planned.simulated:
        console.print("[yellow]SIMULATED engine: estimates are of real ones[/]")
    console.print(f"objective: {spec.judging.objective.describe()}")
    for constraint in spec.judging.constraints:
        console.print(f"constraint: {constraint}")
    known = [one for one in shown if one.misfit is None and one.is_estimated]
    if known:
        console.print(_table(known, limited=bool(spec.judging.constraints)))
        console.print(_FOOTNOTE, style="dim", soft_wrap=True, highlight=False)
    for one in shown:
        if one.misfit is not None:
            label = escape(_label(one.experiment))
            console.print(
                f"[red]cannot fit:[/] {label}: {escape(one.misfit.arithmetic)}", soft_wrap=True
            )
    for reason, count in reasons(expected).items():
        experiments = "1 experiment" if count == 1 else f"{count} experiments"
        console.print(f"[yellow]unknown[/] of {experiments}: {escape(reason)}", soft_wrap=True)
    if len(shown) < len(expected):
        console.print(f"{len(expected) - len(shown)} more experiments: --most 0, or --json")


_FOOTNOTE = (
    "± is one standard deviation of the error, ±2x a factor of 2; tok/s: output tokens of the "
    "whole server; limits: how likely the level keeps them, means standing for percentiles, too. "
    "Nothing is left out of a study because of these numbers; what cannot fit fails at its start."
)


def _table(shown: Sequence[Expected], *, limited: bool) -> Table:
    workloads = {level.level.workload for one in shown for level in one.levels}
    table = Table(box=SIMPLE_HEAD)
    table.add_column("expected\nrank", justify="right", style="bold")
    table.add_column("parameters", overflow="fold")
    table.add_column("GPUs", justify="right")
    table.add_column("level")
    for heading in ("TTFT\nms", "TPOT\nms", "output\ntok/s", "tok/s\nper GPU"):
        table.add_column(heading, justify="right")
    if limited:
        table.add_column("limits", justify="right")
    for one in shown:
        first = True
        for level in _doubling(one.levels):
            cells = _cells(level, one.experiment.footprint.gpus)
            head = ("" if one.rank is None else str(one.rank), escape(_label(one.experiment)))
            gpus = str(one.experiment.footprint.gpus)
            where = f"c={level.level.concurrency}"
            if len(workloads) > 1:
                where = f"{level.level.workload} {where}"
            table.add_row(
                *((*head, gpus) if first else ("", "", "")),
                escape(where),
                *cells,
                *([_percent(level.chance)] if limited else []),
            )
            first = False
    return table


def _doubling(levels: Sequence[ExpectedLevel]) -> list[ExpectedLevel]:
    """Few levels whole; of many, those of each workload that double the one before, and its last.

    A load that is to be found may end at any of dozens of levels.
    """
    if len(levels) <= _MOST_LEVELS:
        return list(levels)
    last = {one.level.workload: one for one in levels}
    shown: list[ExpectedLevel] = []
    kept: dict[str, int] = {}
    for one in levels:
        workload, concurrency = one.level.workload, one.level.concurrency
        if concurrency >= 2 * kept.get(workload, 0) or one is last[workload]:
            kept[workload] = concurrency
            shown.append(one)
    return shown


def _cells(level: ExpectedLevel, gpus: int) -> tuple[str, str, str, str]:
    said = level.said
    if not isinstance(said, Estimate):
        return "unknown", "unknown", "unknown", "unknown"
    throughput, sigma = said.output_throughput_tok_s, said.throughput_sigma
    return (
        _with_error(1000 * said.ttft_s, said.ttft_sigma),
        _with_error(1000 * said.tpot_s, said.tpot_sigma),
        _with_error(throughput, sigma),
        _with_error(throughput / gpus, sigma) if gpus else "",
    )


def _label(experiment: Experiment) -> str:
    return f"{experiment.label} (baseline)" if experiment.is_baseline else experiment.label


def _with_error(value: float, sigma: float) -> str:
    shown = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    spread = f"±{100 * sigma:.0f} %" if sigma <= _SMALL else f"±{math.exp(sigma):.1f}x"
    return f"{shown} {spread}"


def _percent(chance: float | None) -> str:
    return "" if chance is None else f"{100 * chance:.0f} %"


def _json(planned: Plan, estimator: str, expected: Sequence[Expected]) -> dict[str, object]:
    """The forecast as plain values; missing numbers are null."""
    objective = planned.spec.judging.objective
    return {
        "study": planned.spec.name,
        "study_id": planned.study_id,
        "estimator": estimator,
        "objective": objective.describe(),
        "column": objective.column,
        "experiments": [_experiment_json(one) for one in expected],
    }


def _experiment_json(one: Expected) -> dict[str, object]:
    experiment = one.experiment
    return {
        "experiment_id": experiment.id,
        "parameters": dict(experiment.parameters),
        "is_baseline": experiment.is_baseline,
        "gpus": experiment.footprint.gpus,
        "expected_rank": one.rank,
        "expected_value": one.reading.value,
        "misses": one.reading.reason or None,
        "cannot_fit": one.misfit.arithmetic if one.misfit else None,
        "levels": [_level_json(level) for level in one.levels],
    }


def _level_json(level: ExpectedLevel) -> dict[str, object]:
    said = level.said
    return {
        "workload": level.level.workload,
        "scenario": level.level.scenario,
        "concurrency": level.level.concurrency,
        "unknown": said.reason if isinstance(said, Unknown) else None,
        "chance_to_keep_limits": level.chance,
        "estimate": asdict(said) if isinstance(said, Estimate) else None,
    }
