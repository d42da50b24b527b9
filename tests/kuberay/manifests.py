"""The manifests of cluster/kuberay, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

__all__ = ["FOLDER", "documents", "groups", "pod_specs", "ray_clusters", "the"]

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


def pod_specs(value: Any) -> Iterator[Object]:
    """Specs of pods, wherever they are below."""
    if isinstance(value, dict):
        if "containers" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from pod_specs(each)
