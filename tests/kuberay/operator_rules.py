"""What KubeRay's operator 1.7 refuses, though its definitions let it pass.

Of the operator's rules those about fields that our manifests set, or that somebody fitting them may
set; in words of our own. It accepts such an object and says so in an event that nobody waits for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["refusals"]

Object = Mapping[str, Any]

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LONGEST = {"RayCluster": 53, "RayJob": 47}
_RANDOM_CHARACTERS = 5
"""What the API server adds to `generateName`."""
_STARTED_BY_RESOURCES = {"num-cpus", "num-gpus", "memory", "resources"}
_OF_SUBMITTERS = {"submitterPodTemplate", "submitterConfig"}
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")


def refusals(document: Object) -> list[str]:
    """Why the operator would leave the object alone; none: it would not."""
    kind = document["kind"]
    if kind not in _LONGEST:
        return []
    found = list(_name(kind, document["metadata"]))
    spec = document["spec"]
    if kind == "RayCluster":
        return [*found, *_cluster(spec)]
    return [*found, *_job(spec)]


def _name(kind: str, metadata: Object) -> Iterator[str]:
    name = metadata.get("name") or metadata["generateName"] + "x" * _RANDOM_CHARACTERS
    if len(name) > _LONGEST[kind]:
        yield f"the name of a {kind} has at most {_LONGEST[kind]} characters"
    if not _NAME.fullmatch(name):
        yield f"{name!r} is no name of a service"


def _job(spec: Object) -> Iterator[str]:
    shut_down = spec.get("shutdownAfterJobFinishes", False)
    if not shut_down and spec.get("ttlSecondsAfterFinished", 0) > 0:
        yield "ttlSecondsAfterFinished needs shutdownAfterJobFinishes"
    if not shut_down and spec.get("suspend"):
        yield "suspend needs shutdownAfterJobFinishes"
    if spec.get("activeDeadlineSeconds", 1) <= 0:
        yield "activeDeadlineSeconds is positive"
    selector = spec.get("clusterSelector")
    if selector:
        yield from _job_elsewhere(spec, selector)
    elif "rayClusterSpec" not in spec:
        yield "a job names a cluster or describes one"
    if spec.get("submissionMode") == "SidecarMode" and {*spec} & _OF_SUBMITTERS:
        yield "SidecarMode has no submitterPodTemplate and no submitterConfig"
    if "rayClusterSpec" in spec:
        yield from _cluster(spec["rayClusterSpec"])


def _job_elsewhere(spec: Object, selector: Object) -> Iterator[str]:
    if not selector.get("ray.io/cluster"):
        yield "clusterSelector needs ray.io/cluster"
    if spec.get("suspend"):
        yield "clusterSelector goes without suspend"
    if spec.get("backoffLimit", 0) > 0:
        yield "clusterSelector goes without backoffLimit"
    if spec.get("submissionMode") == "SidecarMode":
        yield "clusterSelector goes without SidecarMode"


def _cluster(spec: Object) -> Iterator[str]:
    autoscaling = spec.get("enableInTreeAutoscaling", False)
    v2 = autoscaling and spec.get("autoscalerOptions", {}).get("version") == "v2"
    if spec.get("authOptions", {}).get("mode") == "token" and _version(spec) < (2, 52):
        yield "a token needs rayVersion, 2.52 or newer"
    if spec.get("autoscalerOptions", {}).get("idleTimeoutSeconds", 0) < 0:
        yield "idleTimeoutSeconds is not negative"
    head = spec["headGroupSpec"]
    for name, group in [("head", head), *((g["groupName"], g) for g in spec["workerGroupSpecs"])]:
        yield from (f"{name}: {why}" for why in _group(group, v2=v2))
    for group in spec["workerGroupSpecs"]:
        yield from (f"{group['groupName']}: {why}" for why in _replicas(group, autoscaling, v2))
    if "gcsFaultToleranceOptions" in spec:
        yield from _fault_tolerance(head)


def _version(spec: Object) -> tuple[int, ...]:
    numbers = re.findall(r"\d+", spec.get("rayVersion", ""))
    return tuple(int(number) for number in numbers[:2])


def _group(group: Object, *, v2: bool) -> Iterator[str]:
    start = group.get("rayStartParams", {})
    if set(start) & _STARTED_BY_RESOURCES and group.get("resources"):
        yield "resources stand in rayStartParams or in resources, not in both"
    if "labels" in start:
        yield "labels stand beside rayStartParams"
    if not all(isinstance(value, str) for value in start.values()):
        yield "rayStartParams are strings"
    if not all(_LABEL.fullmatch(value) for value in group.get("labels", {}).values()):
        yield "labels have the syntax of Kubernetes"
    pod = group["template"]["spec"]
    if not pod["containers"]:
        yield "at least one container"
    if v2 and pod.get("restartPolicy", "Never") != "Never":
        yield "autoscaler v2 needs restartPolicy Never"
    if any(e["name"] == "RAY_enable_autoscaler_v2" for e in pod["containers"][0].get("env", ())):
        yield "the autoscaler's version stands in autoscalerOptions"


def _replicas(group: Object, autoscaling: bool, v2: bool) -> Iterator[str]:
    if not autoscaling and not {"minReplicas", "maxReplicas"} <= set(group):
        yield "minReplicas and maxReplicas are needed without the autoscaler"
    if not 0 <= group.get("minReplicas", 0) <= group.get("maxReplicas", 2**31 - 1):
        yield "minReplicas is between 0 and maxReplicas"
    if "idleTimeoutSeconds" in group and not v2:
        yield "idleTimeoutSeconds of a group needs autoscaler v2"


def _fault_tolerance(head: Object) -> Iterator[str]:
    variables = {each["name"] for each in head["template"]["spec"]["containers"][0].get("env", ())}
    if "redis-password" in head.get("rayStartParams", {}):
        yield "the password of Redis stands in gcsFaultToleranceOptions"
    if variables & {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME"}:
        yield "Redis stands in gcsFaultToleranceOptions"
