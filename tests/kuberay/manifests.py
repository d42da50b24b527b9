"""The manifests of cluster/kuberay, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

__all__ = [
    "FOLDER",
    "documents",
    "driver_group",
    "groups",
    "measuring_groups",
    "pod_specs",
    "ray_clusters",
    "the",
]

Object = dict[str, Any]

FOLDER = Path(__file__).parents[2] / "cluster" / "kuberay"


def documents() -> Iterator[tuple[str, Object]]:
    """Name of the file, and object; read anew each time, so that it may be changed."""
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield path.name, document


def the(file: str, kind: str) -> Object:
    """The file's only object of this kind."""
    (found,) = (each for name, each in documents() if name == file and each["kind"] == kind)
    return found


def ray_clusters() -> Iterator[tuple[str, Object]]:
    """Name of the file, and the spec of a cluster: a RayCluster's own, or that of a RayJob."""
    for name, document in documents():
        if document["kind"] == "RayCluster":
            yield name, document["spec"]
        elif document["kind"] == "RayJob" and "rayClusterSpec" in document["spec"]:
            yield name, document["spec"]["rayClusterSpec"]


def groups(cluster: Object) -> list[Object]:
    """The head's group first."""
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def measuring_groups(cluster: Object) -> list[Object]:
    """Groups with CPUs for experiments: all others say that they have none."""
    return [
        group
        for group in groups(cluster)
        if "0"
        not in (group["rayStartParams"].get("num-cpus"), group.get("resources", {}).get("CPU"))
    ]


def driver_group(cluster: Object) -> Object:
    """Where the entrypoints of jobs run: what has the resource `driver`, else the head."""
    named = [group for group in groups(cluster) if "driver" in group.get("resources", {})]
    return named[0] if named else groups(cluster)[0]


def pod_specs(value: Any) -> Iterator[Object]:
    """Specs of pods, wherever they are below."""
    if isinstance(value, dict):
        if "containers" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from pod_specs(each)
