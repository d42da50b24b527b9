"""The role that ships with the product gives what its launchers need, and no more."""

from itertools import product
from pathlib import Path

import pytest
import yaml

from autotuner.launchers.kubernetes.readiness import needed_rights
from autotuner.spec.launching import OmeSettings

MANIFEST = Path(__file__).parents[4] / "cluster" / "ome" / "rbac.yaml"
OME = OmeSettings(base_model="m")


@pytest.fixture(scope="module")
def objects():
    return list(yaml.safe_load_all(MANIFEST.read_text()))


def granted(objects, kind):
    (role,) = (each for each in objects if each["kind"] == kind)
    return {
        one
        for rule in role["rules"]
        for one in product(rule["apiGroups"], rule["resources"], rule["verbs"])
    }


def needed(ome):
    return {
        (kind.group, f"{kind.plural}/{part}" if part else kind.plural, verb)
        for verb, kind, part in needed_rights(ome)
    }


def test_it_gives_every_right_that_is_looked_for(objects):
    assert needed(None) | needed(OME) <= granted(objects, "Role")


def test_beyond_those_it_only_lets_look(objects):
    more = granted(objects, "Role") - needed(None) - needed(OME)
    assert {verb for _, _, verb in more} == {"get"}
    assert {verb for _, _, verb in granted(objects, "ClusterRole")} == {"get", "list"}


def test_it_never_lets_anybody_read_secrets(objects):
    verbs = {verb for _, resource, verb in granted(objects, "Role") if resource == "secrets"}
    assert verbs == {"create", "patch", "deletecollection"}
    assert "secrets" not in {resource for _, resource, _ in granted(objects, "ClusterRole")}


def test_nothing_is_given_with_an_asterisk(objects):
    every = granted(objects, "Role") | granted(objects, "ClusterRole")
    assert "*" not in {word for each in every for word in each}


def test_every_binding_is_of_the_account_to_a_role_that_is_there(objects):
    made = {(each["kind"], each["metadata"]["name"]) for each in objects}
    bindings = [each for each in objects if each["kind"].endswith("Binding")]
    assert len(bindings) == 2
    for binding in bindings:
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in made
        (subject,) = binding["subjects"]
        assert (subject["kind"], subject["name"]) in made
