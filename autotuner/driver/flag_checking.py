"""Before a study: flags that no engine of its nodes knows are refused, rather than tried.

Each would cost the start of a server in every experiment that has it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from autotuner.driver.progress import EnginesAsked, FlagsRefused, StudyEvent
from autotuner.errors import PlanError, StudyFileError, StudyProblem
from autotuner.execution.base import Executor, Node
from autotuner.execution.fitting import able_nodes
from autotuner.launchers.registry import load_launcher
from autotuner.node.known_flags import ASK_S, FlagFault, FlagLook, FlagUses, look_at_flags
from autotuner.planning import Plan
from autotuner.spec.server import Value
from autotuner.spec.source_lines import Loc, dotted
from autotuner.spec.study import StudySpec, UsedPreset

__all__ = ["check_flags", "flag_uses"]

_SLACK_S = 30.0
"""For a node to begin."""
_QUIET_S = 3.0
"""An answer that was kept takes less."""
_HATCH = "(engine.check_flags: false passes what the engine takes all the same)"


def check_flags(
    plan: Plan,
    executor: Executor,
    emit: Callable[[StudyEvent], None],
    *,
    given_up: Callable[[], bool] = lambda: False,
) -> None:
    """Ask the engines of the nodes that the study will use whether they know its flags.

    A flag that some know and others do not is told, since it works on some: their versions differ.

    Args:
        given_up: Asked several times a second: whether to ask no further.

    Raises:
        StudyFileError: a flag that all of them refuse, with its place in the file.
        PlanError: the same of a study that comes from no file.
    """
    uses = flag_uses(plan)
    launcher = load_launcher(plan.spec.launcher)
    if not uses or not launcher.runs_programs:
        return
    sizes = dict.fromkeys(experiment.footprint for experiment in plan.experiments)
    nodes = [n for n in executor.nodes() if any(able_nodes(size, [n]) for size in sizes)]
    call = partial(look_at_flags, plan.experiments[0].server, uses)
    started = time.monotonic()
    told = False

    def asked_enough() -> bool:
        nonlocal told
        if not told and time.monotonic() - started > _QUIET_S:
            told = True
            emit(EnginesAsked(plan.spec.engine.name, _hosts(nodes)))
        return given_up()

    answers = executor.ask_nodes(
        dict.fromkeys(nodes, call), timeout_s=ASK_S + _SLACK_S, given_up=asked_enough
    )
    if not given_up():
        _judge(plan.spec, {a.node: a.value for a in answers}, emit)


def flag_uses(plan: Plan) -> FlagUses | None:
    """Every flag of the experiments and its values; None where they are not to be checked."""
    if not plan.spec.engine.check_flags:
        return None
    uses: dict[str, dict[tuple[type, Value], Value]] = {}
    for experiment in plan.experiments:
        for name, value in experiment.server.flags.items():
            uses.setdefault(name, {})[type(value), value] = value
    return {name: tuple(values.values()) for name, values in uses.items()}


def _judge(
    spec: StudySpec, looks: dict[Node, FlagLook | None], emit: Callable[[StudyEvent], None]
) -> None:
    """Refuse what all nodes refuse; tell what some do."""
    refusals = [set(_keys(look)) if look is not None else set() for look in looks.values()]
    everywhere = set.intersection(*refusals) if refusals else set()
    if everywhere:
        raise _refused(spec, [look for look in looks.values() if look is not None], everywhere)
    by_engine: dict[FlagLook, list[Node]] = {}
    for node, look in looks.items():
        if look is not None and look.faults:
            by_engine.setdefault(look, []).append(node)
    for look, nodes in by_engine.items():
        words = tuple(fault.words for fault in look.faults)
        emit(FlagsRefused(_hosts(nodes), look.engine, words))


def _keys(look: FlagLook) -> Iterable[tuple[str, str | None]]:
    return ((fault.flag, fault.value) for fault in look.faults)


def _refused(
    spec: StudySpec, looks: Sequence[FlagLook], keys: set[tuple[str, str | None]]
) -> StudyFileError | PlanError:
    engines = " and ".join(sorted({look.engine for look in looks}))
    faults = [fault for fault in looks[0].faults if (fault.flag, fault.value) in keys]
    problems = sorted((_problem(spec, f, engines) for f in faults), key=lambda one: one.line or 0)
    problems[-1] = replace(problems[-1], fix=f"{problems[-1].fix} {_HATCH}")
    if spec.source is None:
        return PlanError("; ".join(f"{problem.key}: {problem.fix}" for problem in problems))
    return StudyFileError(spec.source.path, problems)


def _problem(spec: StudySpec, fault: FlagFault, engines: str) -> StudyProblem:
    place = _place(spec, fault.flag)
    line = None if spec.source is None else spec.source.line(place)
    words = f"{engines} {fault.words}"
    if (preset := _preset(spec, fault.flag)) is not None:
        words += f" (of preset {preset}: write `{fault.flag}: [...]` under `parameters` with "
        words += "values of your own, or [null] to leave it out)"
    return StudyProblem(dotted(place), fault.value or "", words, line)


def _preset(spec: StudySpec, flag: str) -> UsedPreset | None:
    return next((p for p in spec.presets if any(flag in a.parameters for a in p.axes)), None)


def _place(spec: StudySpec, flag: str) -> Loc:
    """Where the flag stands in a study file."""
    if flag in spec.engine.flags:
        return ("engine", "flags", flag)
    if _preset(spec, flag) is not None:
        return ("preset",)
    for axis in spec.axes:
        if flag not in axis.parameters:
            continue
        if axis.name == flag:
            return ("parameters", flag)
        index = next(index for index, point in enumerate(axis.points) if flag in point)
        return ("parameters", axis.name, "values", index, flag)
    return ("baseline", flag)


def _hosts(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(node.host for node in nodes))
