"""Before a study: see to it that its nodes can start servers, and bring them what takes long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from autotuner.driver.progress import NodeNotReady, NodesPrepared, NodesPreparing, StudyEvent
from autotuner.errors import ClusterError
from autotuner.execution.base import Executor, Node, NodeAnswer
from autotuner.execution.fitting import able_nodes
from autotuner.launchers.base import Readiness
from autotuner.launchers.registry import load_launcher
from autotuner.node.checkup.launching import readiness
from autotuner.planning import Plan
from autotuner.spec.experiment import Experiment

__all__ = ["prepare_nodes"]

_PREPARE_S = 3600.0
"""An image of 20 GB takes a while."""
_PROCESS = "process"


def prepare_nodes(
    plan: Plan,
    executor: Executor,
    emit: Callable[[StudyEvent], None],
    *,
    given_up: Callable[[], bool] = lambda: False,
) -> None:
    """Ask the launcher, on the nodes that the study will use, for all that servers need of them.

    Where some nodes are ready and others not, the study runs: what fails on a node is tried on
    another, and a node on which everything fails is set aside.

    Args:
        given_up: Asked several times a second: whether to prepare no further.

    Raises:
        ClusterError: no node is ready; the message has the reasons and what to do.
        PlanError: there is no such launcher.
    """
    launcher = plan.spec.launcher
    if launcher == _PROCESS:
        return  # the programs of a node are what they are
    load_launcher(launcher)
    asked = _asked(plan.experiments, executor.nodes())
    if not asked:
        return  # the driver says what does not fit
    emit(NodesPreparing(launcher, _hosts(asked)))
    started = time.monotonic()
    calls = {
        node: partial(readiness, one.server, one.footprint, fetch=True)
        for node, one in asked.items()
    }
    answers = executor.ask_nodes(calls, timeout_s=_PREPARE_S, given_up=given_up)
    if given_up():
        return
    faults = {answer.node: _faults(answer) for answer in answers}
    ready = [node for node, reasons in faults.items() if not reasons]
    if not ready:
        raise ClusterError(_none_ready(launcher, faults))
    for node, reasons in faults.items():
        if reasons:
            emit(NodeNotReady(node.host, reasons))
    warnings = _warnings(answer for answer in answers if answer.node in ready)
    emit(NodesPrepared(launcher, _hosts(ready), time.monotonic() - started, warnings))


def _asked(experiments: Sequence[Experiment], nodes: Sequence[Node]) -> dict[Node, Experiment]:
    """The nodes to ask, each with the widest experiment that it could hold.

    Of nodes with a quota one is enough: what they answer is of another cluster than theirs.
    """
    asked: dict[Node, Experiment] = {}
    for node in nodes:
        able = [e for e in experiments if able_nodes(e.footprint, [node])]
        if able:
            asked[node] = max(able, key=lambda e: e.footprint.gpus)
    elsewhere = [node for node, one in asked.items() if one.footprint.quota is not None]
    widest = max(elsewhere, key=lambda node: asked[node].footprint.gpus, default=None)
    return {n: one for n, one in asked.items() if n not in elsewhere or n is widest}


def _faults(answer: NodeAnswer[tuple[Readiness, ...]]) -> tuple[str, ...]:
    """What keeps servers from starting on the node."""
    if answer.value is None:
        return (f"no answer: {answer.problem}",)
    return tuple(_spoken(one) for one in answer.value if one.fix is not None and one.blocks)


def _warnings(answers: Iterable[NodeAnswer[tuple[Readiness, ...]]]) -> tuple[str, ...]:
    found = {
        _spoken(one): None
        for answer in answers
        for one in answer.value or ()
        if one.fix is not None and not one.blocks
    }
    return tuple(found)


def _spoken(one: Readiness) -> str:
    return f"{one.check}, {one.read}: {one.fix}"


def _none_ready(launcher: str, faults: Mapping[Node, tuple[str, ...]]) -> str:
    """One block: what is wrong, with the nodes of which it is true."""
    nodes_of: dict[tuple[str, ...], list[Node]] = {}
    for node, reasons in faults.items():
        nodes_of.setdefault(reasons, []).append(node)
    lines = [f"no node can start servers with the launcher {launcher}:"]
    for reasons, nodes in nodes_of.items():
        lines.append(f"  {', '.join(_hosts(nodes))}:")
        lines += [f"    {reason}" for reason in reasons]
    return "\n".join(lines)


def _hosts(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(node.host for node in nodes))
