"""Whether a cluster could hold an experiment at all, and what to say where it could not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autotuner.execution.base import Node
from autotuner.execution.books import NodeUse, fits
from autotuner.spec.experiment import Experiment
from autotuner.spec.server import Footprint

__all__ = [
    "able_nodes",
    "does_not_fit",
    "exceeds_limit",
    "fits_idle",
    "largest_quota",
    "quota_fix",
]

_IDLE = NodeUse()


def able_nodes(footprint: Footprint, nodes: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes that could hold the footprint's share of one node, if they were idle."""
    return tuple(node for node in nodes if fits(footprint, node, _IDLE))


def fits_idle(footprint: Footprint, nodes: Iterable[Node]) -> bool:
    """Whether these nodes, all idle, could hold the footprint."""
    able = 0
    for node in nodes:
        able += fits(footprint, node, _IDLE)
        if able >= footprint.nodes:
            return True
    return False


def exceeds_limit(experiment: Experiment, most_gpus: int) -> str:
    """What to say of an experiment that is wider than the study may ever be."""
    return (
        f"experiment {experiment.id} ({experiment.label}) needs {experiment.footprint.gpus} GPUs, "
        f"but max_gpus is {most_gpus}. Raise max_gpus, or remove the wide parallel sizes"
    )


def does_not_fit(experiment: Experiment, nodes: Sequence[Node]) -> str:
    """What the experiment needs, what the cluster has, and what to change."""
    need = experiment.footprint
    needs = f"experiment {experiment.id} ({experiment.label}) needs"
    if need.quota is not None and need.quota_share > largest_quota(need.quota, nodes):
        return f"{needs} {_quota_missing(need, need.quota, nodes)}"
    typed = [node for node in nodes if need.allows(node.gpu_model)]
    if nodes and not typed:
        models = sorted({node.gpu_model or "none" for node in nodes})
        return (
            f"{needs} nodes with GPUs of type {need.gpu_type}, but the cluster's are "
            f"{', '.join(models)}, as Ray names them. Correct resources.gpu_type, or use another "
            "cluster (--address)"
        )
    share = f"{need.reserved_gpus} GPUs and {need.cpus.reserve} CPUs on one node"
    if need.nodes > 1:
        able = len(able_nodes(need, typed))
        share = f"{need.reserved_gpus} GPUs and {need.cpus.reserve} CPUs on each of {need.nodes} "
        share += f"nodes at once ({able} of the cluster's {len(typed)} could be one)"
    return (
        f"{needs} {share}, but {_largest(typed)}. Set resources.gpus or resources.cpus, "
        "remove the wide parallel sizes, or use a larger cluster (--address)"
        + (_SPANNING if need.nodes == 1 and len(typed) > 1 else "")
    )


_SPANNING = "; resources.gpus_per_node lets a server span several nodes"


def _largest(nodes: Sequence[Node]) -> str:
    largest = max(nodes, key=lambda node: (node.gpus, node.cpus), default=None)
    if largest is None:
        return "the cluster has no node"
    return f"the largest node ({largest.host}) has {largest.gpus} GPUs and {largest.cpus} CPUs"


def largest_quota(quota: str, nodes: Iterable[Node]) -> int:
    """What the node that has most of the custom resource has of it."""
    return max((node.quotas.get(quota, 0) for node in nodes), default=0)


def quota_fix(quota: str, least: int) -> str:
    """How a node comes by a custom resource."""
    return (
        f"start a node with `ray start --resources '{{\"{quota}\": {least}}}'`, with the number "
        "of GPUs that servers may take of the Kubernetes cluster at once"
    )


def _quota_missing(need: Footprint, quota: str, nodes: Sequence[Node]) -> str:
    most = largest_quota(quota, nodes)
    has = f"no node has more than {most}" if most else "the cluster has none"
    return (
        f"{need.quota_share} of the Ray resource {quota} on one node, but {has}: "
        f"{quota_fix(quota, need.quota_share)}. Or let autotuner start a Ray here (no --address)"
    )
