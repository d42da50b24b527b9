"""What KubeRay's operator would refuse without the definitions saying so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kuberay.manifests import documents, the
from kuberay.operator_rules import refusals

Object = dict[str, Any]
Change = Callable[[Object], object]


def test_the_operator_takes_every_object() -> None:
    refused = {name: why for name, each in documents() if (why := refusals(each))}
    assert refused == {}


def head(spec: Object) -> Object:
    container: Object = spec["headGroupSpec"]["template"]["spec"]["containers"][0]
    return container


def worker(spec: Object) -> Object:
    group: Object = spec["workerGroupSpecs"][-1]
    return group


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda d: d["metadata"].update(name="a" * 54), "53 characters"),
        (lambda d: d["metadata"].update(name="1st"), "no name of a service"),
        (lambda d: d["spec"].pop("rayVersion"), "rayVersion"),
        (lambda d: d["spec"].update(rayVersion="2.51.0"), "2.52"),
        (lambda d: d["spec"]["autoscalerOptions"].update(idleTimeoutSeconds=-1), "not negative"),
        (
            lambda d: worker(d["spec"])["template"]["spec"].update(restartPolicy="Always"),
            "gpu: autoscaler v2",
        ),
        (
            lambda d: d["spec"]["headGroupSpec"]["template"]["spec"].update(
                restartPolicy="OnFailure"
            ),
            "head: autoscaler v2",
        ),
        (
            lambda d: worker(d["spec"]).update(
                resources={"GPU": "8"}, rayStartParams={"num-gpus": "8"}
            ),
            "not in both",
        ),
        (lambda d: worker(d["spec"])["rayStartParams"].update({"num-gpus": 8}), "strings"),
        (lambda d: worker(d["spec"])["rayStartParams"].update(labels="a=b"), "beside"),
        (lambda d: worker(d["spec"]).update(labels={"a": "b c"}), "syntax"),
        (lambda d: worker(d["spec"]).update(minReplicas=9), "between 0 and maxReplicas"),
        (
            lambda d: head(d["spec"])["env"].append({"name": "REDIS_PASSWORD", "value": "x"}),
            "Redis stands in",
        ),
        (
            lambda d: head(d["spec"])["env"].append(
                {"name": "RAY_enable_autoscaler_v2", "value": "1"}
            ),
            "stands in autoscalerOptions",
        ),
    ],
)
def test_a_cluster_that_the_operator_refuses_is_found(break_it: Change, told: str) -> None:
    cluster = the("raycluster.yaml", "RayCluster")
    break_it(cluster)
    assert [why for why in refusals(cluster) if told in why]


def test_without_the_autoscaler_both_limits_are_needed() -> None:
    cluster = the("raycluster-pods.yaml", "RayCluster")
    del worker(cluster["spec"])["minReplicas"]
    worker(cluster["spec"])["idleTimeoutSeconds"] = 60
    assert refusals(cluster) == [
        "load: minReplicas and maxReplicas are needed without the autoscaler",
        "load: idleTimeoutSeconds of a group needs autoscaler v2",
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"suspend": True}, "without suspend"),
        ({"backoffLimit": 1}, "without backoffLimit"),
        ({"submissionMode": "SidecarMode"}, "without SidecarMode"),
        ({"clusterSelector": {"cluster": "autotuner"}}, "needs ray.io/cluster"),
        ({"clusterSelector": {}}, "names a cluster or describes one"),
        ({"ttlSecondsAfterFinished": 60}, "needs shutdownAfterJobFinishes"),
    ],
)
def test_a_job_that_the_operator_refuses_is_found(change: Object, told: str) -> None:
    job = the("rayjob.yaml", "RayJob")
    job["spec"].update(change)
    assert [why for why in refusals(job) if told in why]


def test_a_jobs_own_cluster_is_looked_at_too() -> None:
    job = the("rayjob-ephemeral.yaml", "RayJob")
    del job["spec"]["rayClusterSpec"]["rayVersion"]
    job["metadata"]["name"] = "a" * 48
    assert refusals(job) == [
        "the name of a RayJob has at most 47 characters",
        "a token needs rayVersion, 2.52 or newer",
    ]
