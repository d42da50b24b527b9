"""What can be deployed at all, and under which names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autotuner.errors import UserError
from autotuner.export.deployment import Deployment, Options, deployment_of, resource_name
from autotuner.export.formats import Format, written
from autotuner.export.selection import Selection

Make = Callable[..., Deployment]


def test_a_study_that_does_not_know_its_servers_is_refused(
    selection: Callable[..., Selection],
) -> None:
    import dataclasses

    chosen = selection()
    bare = dataclasses.replace(
        chosen, experiment=dataclasses.replace(chosen.experiment, server=None)
    )
    with pytest.raises(UserError, match="does not say how the server of aaa1 is started"):
        deployment_of(bare, Options())


def test_several_nodes_are_refused(deployment: Make) -> None:
    with pytest.raises(UserError, match="several nodes"):
        deployment(nodes=2)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_is_none_is_refused(port: int, deployment: Make) -> None:
    with pytest.raises(UserError, match="between 1 and 65535"):
        deployment(options=Options(port=port))


@pytest.mark.parametrize("name", ["", "Upper", "-a", "a-", "7b", "a_b", "a.b", "x" * 51])
def test_a_name_that_a_cluster_refuses_is_refused(name: str, deployment: Make) -> None:
    with pytest.raises(UserError, match="--name"):
        deployment(options=Options(name=name))


@pytest.mark.parametrize("name", ["1A", "a-b", "a=b", "a b", "", "é"])
def test_a_variable_that_no_shell_can_set_is_refused(name: str, deployment: Make) -> None:
    with pytest.raises(UserError, match="no name that can be exported"):
        deployment(environment={name: "x"})


def test_a_zero_byte_is_refused(deployment: Make) -> None:
    for changes in ({"flags": {"a": "x\0"}}, {"environment": {"A": "x\0"}}, {"model": "a\0"}):
        with pytest.raises(UserError, match="zero byte"):
            deployment(**changes)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Qwen3-8B", "qwen3-8b"),
        ("7B", "model-7b"),
        ("...", "model"),
        ("a__b..c", "a-b-c"),
        ("x" * 60, "x" * 50),
        ("x" * 49 + "-y", "x" * 49),
    ],
)
def test_names_are_made_from_any_text(text: str, name: str) -> None:
    assert resource_name(text) == name


@pytest.mark.parametrize("format_", [f for f in Format if f not in (Format.SHELL, Format.JSON)])
def test_containers_need_an_image_and_the_rest_does_not(format_: Format, deployment: Make) -> None:
    made = deployment("custom", versions=())
    with pytest.raises(UserError, match="--image"):
        written(made, format_)
    assert written(made, Format.SHELL)
    assert written(made, Format.JSON)
    named = deployment("custom", versions=(), options=Options(image="mine:1"))
    assert "mine:1" in written(named, format_)
