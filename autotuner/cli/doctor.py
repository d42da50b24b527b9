"""Check the nodes of a Ray cluster, or this machine, for what spoils or stops a study.

With a study file, its engine, load generator, model and GPUs are checked as well. Nothing is
measured, and no Ray is started: without a cluster, this machine is checked.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from autotuner.cli.checkup_table import print_checkups
from autotuner.cli.display import output_console
from autotuner.cli.study_file import add_launcher_arguments, plan_of
from autotuner.driver.flag_checking import flag_uses
from autotuner.execution.base import Node, NodeAnswer
from autotuner.execution.fitting import able_nodes, largest_quota, quota_fix
from autotuner.node.checkup.clock import judge_clock, now_s
from autotuner.node.checkup.compare import with_differences
from autotuner.node.checkup.every_check import check_node
from autotuner.node.checkup.finding import (
    Checkup,
    CheckupOrder,
    Finding,
    StudyNeeds,
    failure,
    warning,
)
from autotuner.node.checkup.software import own_versions
from autotuner.node.checkup.storage import results_folder
from autotuner.node.facts import host_name
from autotuner.planning import Plan
from autotuner.results.place import place_of

__all__ = [
    "HELP",
    "NAME",
    "add_arguments",
    "check",
    "check_nodes",
    "execute",
    "node_names",
    "room_for_study",
    "study_needs",
]

NAME = "doctor"
HELP = "check this machine, or the nodes of a cluster, before a study"

EXIT_FAILURE = 2

_DEFAULT_OUTPUT = Path("results")
_CHECK_S = 180.0
"""A node's checks take a second or two; an engine may take minutes to tell version and flags."""
_CLOCK_S = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, metavar="FILE", nargs="?", help="study file: check what it needs"
    )
    parser.add_argument(
        "--address", help="Ray cluster, e.g. auto; default: RAY_ADDRESS, else this machine alone"
    )
    add_launcher_arguments(parser)


def execute(arguments: argparse.Namespace) -> int:
    planned = None
    if arguments.file is not None:
        planned = plan_of(arguments.file, arguments.launcher, arguments.image)
    return check(planned, arguments.address, output_console())


def check(planned: Plan | None, address: str | None, console: Console) -> int:
    """Check this machine or the nodes of a cluster, and print what was found.

    Args:
        planned: Check what it needs as well.
        address: Ray cluster; None: that of the environment, else this machine alone.

    Returns:
        The exit status: whether any check has failed.

    Raises:
        ClusterError: no Ray answers at the address.
    """
    order = CheckupOrder(
        study=study_needs(planned) if planned is not None else None,
        output=place_of(planned.spec.output if planned is not None else _DEFAULT_OUTPUT),
    )
    address = address or _address_of_environment()
    checkups: tuple[Checkup, ...]
    if address:
        checkups = _cluster(order, address)
        count = f"{len(checkups) - 1} node{'' if len(checkups) == 2 else 's'}"
        console.print(f"the Ray cluster at {address}: {count}, and this driver")
    else:
        checkups = (check_node(order),)
        console.print(f"this machine, {checkups[0].node}; --address checks a Ray cluster")
    print_checkups(checkups, console)
    return EXIT_FAILURE if any(checkup.failed for checkup in checkups) else 0


def study_needs(planned: Plan) -> StudyNeeds:
    footprints = [experiment.footprint for experiment in planned.experiments]
    gpus = [footprint.reserved_gpus for footprint in footprints]
    widest = max(planned.experiments, key=lambda experiment: experiment.footprint.gpus)
    return StudyNeeds(
        widest.server,
        planned.spec.bench,
        least_gpus=min(gpus),
        most_gpus=max(gpus),
        footprint=widest.footprint,
        least_share=min(footprint.quota_share for footprint in footprints),
        flags=flag_uses(planned),
    )


def _address_of_environment() -> str | None:
    if not os.environ.get("RAY_ADDRESS"):
        return None
    from autotuner.execution.ray_connection import address_of_environment

    return address_of_environment()


def _cluster(order: CheckupOrder, address: str) -> tuple[Checkup, ...]:
    """The nodes of a cluster, and the driver, which is this process.

    Raises:
        ClusterError: no Ray answers at the address.
    """
    from autotuner.execution.on_ray import RayExecutor

    with RayExecutor(address) as cluster:
        nodes, can_grow = cluster.nodes(), cluster.can_grow
        checkups = with_differences(check_nodes(nodes, order))
    driver = [*results_folder(order), *room_for_study(order.study, nodes, can_grow=can_grow)]
    return (*checkups, Checkup(f"driver ({host_name()})", tuple(driver)))


def check_nodes(nodes: Sequence[Node], order: CheckupOrder) -> list[Checkup]:
    """The findings of every node; one that gives no answer has that as its only one."""
    from autotuner.execution.ray_nodes import ask_nodes

    shared = replace(order, output=None, driver_versions=own_versions())
    orders = {n: replace(shared, ray_gpus=n.gpus, ray_quotas=n.quotas) for n in nodes}
    calls = {node: partial(check_node, one) for node, one in orders.items()}
    findings: dict[Node, tuple[Finding, ...]] = {}
    clocks: dict[Node, Callable[[], float]] = {}
    for answer in ask_nodes(calls, timeout_s=_CHECK_S):
        if answer.value is None:
            findings[answer.node] = (_no_answer(answer.problem),)
        else:
            findings[answer.node] = answer.value.findings
            clocks[answer.node] = now_s
    # Asked last: by now each node has an idle worker, and answers within milliseconds.
    for clock in ask_nodes(clocks, timeout_s=_CLOCK_S):
        findings[clock.node] += (_clock_finding(clock),)
    names = node_names(nodes)
    return [Checkup(names[node], findings[node]) for node in nodes]


def _clock_finding(clock: NodeAnswer[float]) -> Finding:
    if clock.value is None:
        return _no_answer(clock.problem)
    return judge_clock(sent_s=clock.sent_s, on_node_s=clock.value, received_s=clock.received_s)


def _no_answer(problem: str | None) -> Finding:
    fix = (
        "Look at ray status and at the raylet's log on this node; take it out of the cluster. "
        "One that was started with another RAY_AUTH_MODE than the head answers nobody."
    )
    return failure("node", problem or "no answer", "answers", fix)


def room_for_study(
    study: StudyNeeds | None, nodes: Sequence[Node], *, can_grow: bool = False
) -> list[Finding]:
    """Ray waits for ever for a node that is large enough; a study is refused where none is.

    Args:
        can_grow: Whether the cluster may add nodes by itself: what is missing is no failure then.
    """
    if study is None:
        return []
    judge = warning if can_grow else failure
    need = study.footprint
    findings = []
    if (most := max((node.gpus for node in nodes), default=0)) < study.most_gpus:
        fix = "Add a node with more GPUs, or use smaller parallel sizes."
        findings.append(_too_little(judge, "GPUs", most, study.most_gpus, fix))
    elif need.gpu_type is not None and not any(need.allows(node.gpu_model) for node in nodes):
        models = ", ".join(sorted({node.gpu_model or "none" for node in nodes}))
        fix = "Name one of these in resources.gpu_type, or add nodes of that type."
        findings.append(judge("GPU type", models, need.gpu_type, fix))
    elif need.quota is None and (able := len(able_nodes(need, nodes))) < need.nodes:
        fix = "Add nodes, or use smaller parallel sizes."
        wanted = f"{need.nodes} for the widest experiment"
        findings.append(judge("nodes", f"{able} that are large enough", wanted, fix))
    quota, share = need.quota, need.quota_share
    if quota is not None and (most := largest_quota(quota, nodes)) < share:
        fix = quota_fix(quota, share)
        fix = f"{fix[0].upper()}{fix[1:]}."
        findings.append(_too_little(judge, f"Ray resource {quota}", most, share, fix))
    return findings


def _too_little(
    judge: Callable[[str, str, str, str], Finding], check: str, most: int, least: int, fix: str
) -> Finding:
    wanted = f"{least} on one node, for the widest experiment"
    return judge(check, f"at most {most} on a node" if most else "none on any node", wanted, fix)


def node_names(nodes: Sequence[Node]) -> dict[Node, str]:
    """Host names; with the start of Ray's id where several nodes share a host."""
    counts = Counter(node.host for node in nodes)
    return {n: n.host if counts[n.host] == 1 else f"{n.host} {n.id[:6]}" for n in nodes}
