"""Whole attempts whose servers Kubernetes and OME bring up, without Ray."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import yaml
from kubernetes_double.ome_controller import ome_controller

import autotuner
from autotuner.node.events import AttemptEnded, LevelMeasured
from autotuner.node.experiment import run_attempt
from autotuner.spec.experiment import Completed, Failed, FailureKind
from autotuner.spec.launching import OmeSettings, PodSettings

HOME = str(Path(autotuner.__file__).parents[1])
ROLES = Path(__file__).parents[2] / "cluster" / "ome" / "rbac.yaml"
PATH = re.compile(r"/apis?/(?:([^/]+)/)?v\w+/(?:namespaces/[^/]+/)?(\w+)(?:/([^/]+)(?:/(\w+))?)?")
KINDS = ("pods", "inferenceservices", "servingruntimes", "services", "secrets", "leases")


@pytest.fixture(params=["kubernetes", "ome"])
def order(request, make_order, kubernetes_double, tmp_path):
    made = make_order(executable=sys.executable, environment={"PYTHONPATH": HOME})
    model = {"metadata": {"name": "tiny"}, "spec": {"storage": {"path": "/models/tiny"}}}
    kubernetes_double.add("clusterbasemodels", model)
    config = str(kubernetes_double.kubeconfig(tmp_path / "kubeconfig"))
    pod = PodSettings(image="sim:1", kubeconfig=config, unschedulable_s=1.0)
    launch = pod if request.param == "kubernetes" else OmeSettings("tiny", pod=pod)
    experiment = made.attempt.experiment
    server = replace(experiment.server, launcher=request.param, launch=launch)
    footprint = replace(experiment.footprint, quota=launch.quota)
    experiment = replace(experiment, server=server, footprint=footprint)
    return replace(made, attempt=replace(made.attempt, experiment=experiment))


def ended(events):
    assert isinstance(events[-1], AttemptEnded)
    return events[-1]


def left(double):
    return [each["metadata"]["name"] for kind in KINDS for each in double.objects(kind)]


def test_an_attempt_is_measured_and_leaves_nothing(order, kubernetes_double):
    with ome_controller(kubernetes_double, start_command=True):
        events = list(run_attempt(order))
        end = ended(events)
        assert isinstance(end.outcome, Completed), (end.outcome, end.logs)
        assert sum(isinstance(event, LevelMeasured) for event in events) == 2
        assert end.facts["server_node"] == "node-1"
        assert end.facts["image"] == "sim:1"
        assert left(kubernetes_double) == []


def test_an_attempt_that_no_node_takes_says_so_and_leaves_nothing(order, kubernetes_double):
    with ome_controller(kubernetes_double, "unschedulable"):
        end = ended(list(run_attempt(order)))
        assert isinstance(end.outcome, Failed)
        assert end.outcome.kind is FailureKind.UNSCHEDULABLE
        assert "nodes are available" in end.outcome.message
        assert left(kubernetes_double) == []


def rights_used(double):
    """Group, resource and verb of all requests that need a right of the role."""
    used = set()
    for asked in double.requests:
        if asked.path == "/version":
            continue
        group, plural, name, part = PATH.fullmatch(asked.path).groups()
        verb = {"PATCH": "patch", "POST": "create", "GET": "get", "DELETE": "delete"}[asked.method]
        if name is None and asked.method in ("GET", "DELETE"):
            verb = {"GET": "list", "DELETE": "deletecollection"}[asked.method]
        if asked.asks("watch"):
            verb = "watch"
        used.add((group or "", f"{plural}/{part}" if part else plural, verb))
        if asked.headers.get("content-type") == "application/apply-patch+yaml":
            used.add((group or "", plural, "create"))
    return used


def test_the_role_that_ships_gives_all_that_an_attempt_asks_for(order, kubernetes_double):
    with ome_controller(kubernetes_double, start_command=True):
        assert isinstance(ended(list(run_attempt(order))).outcome, Completed)
    granted = {
        one
        for each in yaml.safe_load_all(ROLES.read_text())
        for rule in each.get("rules", ())
        for one in product(rule["apiGroups"], rule["resources"], rule["verbs"])
    }
    # A load generator's own; where it is not given, there are none.
    optional = {("ome.io", "benchmarkjobs", "list")}
    used = rights_used(kubernetes_double)
    assert ("", "pods", "watch") in used
    assert used - optional <= granted
