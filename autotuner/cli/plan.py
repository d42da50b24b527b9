"""Print exactly what `autotuner run` would do: nothing is started.

With --check, what the study needs is then looked for as `autotuner doctor` does.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from autotuner.cli import doctor
from autotuner.cli.display import output_console
from autotuner.cli.plan_cost import print_cost, print_space
from autotuner.cli.study_file import add_launcher_arguments, plan_of
from autotuner.driver.costing import expected_cost
from autotuner.driver.searching.searched import strategy_of
from autotuner.planning import PLACEHOLDERS, Plan
from autotuner.spec.experiment import Experiment
from autotuner.spec.launching import OmeSettings
from autotuner.spec.server import Footprint, Value
from autotuner.spec.study import StudySpec, UsedPreset
from autotuner.spec.study_problems import flow_text
from autotuner.spec.workload import Workload

__all__ = ["HELP", "NAME", "add_arguments", "execute"]

NAME = "plan"
HELP = "show what a study would measure, with every command, and what it would cost"

_MOST_CANDIDATES = 20
"""Of a search, so many are shown unless all are asked for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="study file, YAML or JSON")
    add_launcher_arguments(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="then check this machine, or the nodes of a cluster, for what the study needs",
    )
    parser.add_argument(
        "--gpus",
        type=_at_least_one,
        metavar="N",
        help="how long it would take on so many GPUs; default: the study's max_gpus",
    )
    parser.add_argument(
        "--all", action="store_true", help="every candidate of a search, not only the first ones"
    )
    parser.add_argument(
        "--address", help="with --check: Ray cluster, e.g. auto; default: RAY_ADDRESS"
    )


def execute(arguments: argparse.Namespace) -> int:
    planned = plan_of(arguments.file, arguments.launcher, arguments.image)
    console = Console(soft_wrap=True)
    print_plan(planned, console, gpus=arguments.gpus, whole=arguments.all)
    if not (arguments.check or arguments.address):
        return 0
    print()
    return doctor.check(planned, arguments.address, output_console())


def print_plan(
    planned: Plan, console: Console, *, gpus: int | None = None, whole: bool = False
) -> None:
    """Experiments with ids, commands, GPUs and durations; what is left out and why; the cost.

    Args:
        gpus: To tell the time on so many.
        whole: Also of a search with many candidates every one.

    Raises:
        PlanError: the strategy cannot do what the study asks of it.
    """
    spec = planned.spec
    console.print(f"[bold]study {escape(spec.name)}[/]  id {planned.study_id}")
    if planned.simulated:
        console.print("[yellow]SIMULATED engine: the numbers say nothing about real hardware[/]")
    console.print(f"objective: {spec.judging.objective.describe()}")
    for constraint in spec.judging.constraints:
        console.print(f"constraint: {constraint}")
    console.print(f"launcher: {escape(_launcher(spec))}")
    console.print(f"results: {spec.output}\n")
    print_warnings(planned, console)
    for preset in spec.presets:
        _print_preset(preset, console)
    few = whole or planned.spec.searching.measures_everything
    shown = len(planned.experiments) if few else _MOST_CANDIDATES
    for experiment in planned.experiments[:shown]:
        _print_experiment(planned, experiment, console)
    if shown < len(planned.experiments):
        console.print(f"and {len(planned.experiments) - shown:,} more candidates (--all)\n")
    for duplicate in planned.duplicates:
        console.print(
            f"[yellow]same server as #{duplicate.same_as.index + 1}, measured once:[/] "
            f"{_point(duplicate.parameters)}"
        )
    for dropped in planned.dropped:
        console.print(
            f"[yellow]excluded:[/] {_point(dropped.parameters)} ({escape(dropped.reason)})"
        )
    if planned.excluded > len(planned.dropped):
        console.print(f"and {planned.excluded - len(planned.dropped):,} more excluded")
    cost = expected_cost(planned, strategy_of(planned), gpus)
    _print_totals(planned, cost.parts[0].servers, console)
    print_cost(cost, planned, console)


def _print_preset(preset: UsedPreset, console: Console) -> None:
    """What the study has of it: its values, what it was left without, and what to know of it."""
    newest = ", the newest" if preset.newest else ""
    console.print(f"[bold]preset {preset}[/]{newest}: {preset.goal}", highlight=False)
    for axis in preset.axes:
        tied = axis.parameters != (axis.name,)
        values = [dict(p) if tied else p[axis.name] for p in axis.points]
        console.print(f"   {escape(f'{axis.name}: {flow_text(values)}')}", highlight=False)
    for name, reason in preset.left_out.items():
        console.print(f"   [dim]without {escape(name)}: {escape(reason)}[/]", highlight=False)
    for note in preset.notes:
        console.print(f"   [yellow]note:[/] {escape(note)}", highlight=False)
    console.print()


def _print_experiment(planned: Plan, experiment: Experiment, console: Console) -> None:
    footprint, server = experiment.footprint, experiment.server
    baseline = ", baseline" if experiment.is_baseline else ""
    console.print(
        f"[bold]#{experiment.index + 1}[/] {experiment.id}  {escape(experiment.label)}{baseline}  "
        f"[dim]{_gpus(footprint)}, {footprint.cpus.reserve} CPUs, "
        f"{experiment.expected_levels} levels, about {_minutes(planned.estimated_s(experiment))}[/]"
    )
    variables = planned.variables(server)
    if footprint.nodes == 1:
        command = _shell_line(variables, planned.command(experiment))
        console.print(f"   {escape(command)}\n", highlight=False)
        return
    last = footprint.nodes - 1
    others = "rank 1" if last == 1 else f"ranks 1 to {last}, as rank 1"
    for rank, name in enumerate(("rank 0", others)):
        command = _shell_line(variables, planned.command(experiment, rank))
        console.print(f"   {name}: {escape(command)}", highlight=False)
    console.print()


def _shell_line(variables: Sequence[str], words: Sequence[str]) -> str:
    line = " ".join([*variables, shlex.join(words)])
    # The placeholders are ours, so the quotes that shlex puts around them only mislead.
    for placeholder in PLACEHOLDERS:
        line = line.replace(f"'{placeholder}'", placeholder)
    return line


def _launcher(spec: StudySpec) -> str:
    """The launcher and what it runs, e.g. ``docker, image vllm/vllm-openai:v0.11.0``."""
    launch = spec.launch
    if launch is None:
        return spec.launcher
    words = [spec.launcher]
    if isinstance(launch, OmeSettings):
        words.append(f"base model {launch.base_model}")
        if launch.runtime is not None:
            words.append(f"runtime {launch.runtime}")
    if launch.image is not None:
        words.append(f"image {launch.image}")
    return ", ".join(words)


def _gpus(footprint: Footprint) -> str:
    where = f" on {footprint.nodes} nodes" if footprint.nodes > 1 else ""
    quota = f" (quota {footprint.quota})" if footprint.quota else ""
    return f"{footprint.gpus} GPUs{where}{quota}"


def _print_totals(planned: Plan, measured: int, console: Console) -> None:
    what = "experiments" if planned.spec.searching.measures_everything else "candidates"
    console.print(
        f"\n{len(planned.experiments):,} {what}, {planned.levels:,} levels; "
        f"{planned.excluded:,} excluded, {len(planned.duplicates):,} duplicates"
    )
    print_space(planned, console)
    console.print(escape(_repeats(planned, measured)))
    for workload in planned.spec.workloads:
        limit = f"{workload.stop.seconds:g} s"
        if workload.stop.requests is not None:
            limit += f" or {workload.stop.requests} requests"
        console.print(
            f"workload {escape(workload.name)}: {escape(workload.scenario)} {_load(workload)}, "
            f"each for {limit}"
        )


def _load(workload: Workload) -> str:
    if (find := workload.find) is not None:
        return (
            f"at the largest concurrency from {find.least} to {find.most} that keeps the hard "
            f"limits, about {find.expected_levels} levels on a server"
        )
    again = f", {workload.repeats} times on each server" if workload.repeats > 1 else ""
    return f"at concurrency {', '.join(map(str, workload.concurrency))}{again}"


def print_warnings(planned: Plan, console: Console) -> None:
    """What the reader of the file changed or left out."""
    for warning in planned.spec.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)


def _repeats(planned: Plan, measured: int) -> str:
    spec = planned.spec
    servers = spec.judging.finalist_servers
    order = (
        "in plan order" if spec.order_seed is None else f"in random order, seed {spec.order_seed}"
    )
    if not spec.searching.measures_everything:
        order = f"in the order in which {spec.searching.strategy} asks"
    again = "no finalist is measured again"
    if servers > 1 and spec.judging.max_repeats != 0:
        most = spec.judging.most_repeats(measured)
        effect = f"{100 * spec.judging.minimal_effect:g} %"
        again = (
            f"then finalists on fresh servers, up to {servers} each and {most} in all, until it is "
            f"clear which is best or that they differ by less than {effect}"
        )
    drift = "; last the baseline once more" if planned.baseline else ""
    return f"{order}; {again}{drift}"


def _point(parameters: dict[str, Value] | object) -> str:
    pairs = parameters.items() if isinstance(parameters, dict) else ()
    return escape(" ".join(f"{name}={value}" for name, value in pairs))


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
