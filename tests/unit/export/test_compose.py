"""The Compose file: read by an independent parser, and filled in as Compose fills it in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest
import yaml
from compose_spec import PyCompose
from hypothesis import given, settings
from hypothesis import strategies as st

from autotuner.engines.registry import load_engine
from autotuner.export.deployment import Deployment, Options
from autotuner.export.docker import compose_file, literal
from autotuner.export.yaml_text import yaml_text

Make = Callable[..., Deployment]
SET = {"HOME": "/home/me", "HF_TOKEN": "hf_real", "API_KEY": "sk-1"}


def filled_in(value: object, variables: Mapping[str, str] = SET) -> object:
    """Compose's interpolation: ``$$`` is a dollar sign, ``${A:-b}`` and ``${A:?why}``."""
    if isinstance(value, dict):
        return {key: filled_in(entry, variables) for key, entry in value.items()}
    if isinstance(value, list):
        return [filled_in(entry, variables) for entry in value]
    if not isinstance(value, str):
        return value

    def replaced(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        assert match["name"], f"a stray dollar sign in {value!r}"
        if (found := variables.get(match["name"])) is not None:
            return found
        assert match["kind"] == ":-", f"{match['name']} is not set"
        return str(filled_in(match["rest"], variables))

    pattern = r"\$\$|\$\{(?P<name>\w+)(?P<kind>:[-?])?(?P<rest>(\$\{\w+\}|[^}])*)\}|\$"
    return re.sub(pattern, replaced, value)


def service_of(made: Deployment, variables: Mapping[str, str] = SET) -> dict[str, object]:
    content = filled_in(yaml.safe_load(compose_file(made)), variables)
    # Compose too checks what it has filled in.
    PyCompose.from_yaml(yaml.safe_dump(content, allow_unicode=True))
    assert isinstance(content, dict)
    assert list(content) == ["name", "services"]
    return dict(content["services"]["server"])


def in_container(made: Deployment) -> list[str]:
    return load_engine(made.server.engine).command(
        made.server, host="0.0.0.0", port=made.options.port, served_name=made.served_name
    )


def test_entry_point_and_command_are_the_whole_command(deployment: Make) -> None:
    for engine in ("vllm", "sglang"):
        made = deployment(engine)
        service = service_of(made)
        assert [*service["entrypoint"], *service["command"]] == in_container(made)


def test_the_parser_that_checks_it_would_refuse_another(deployment: Make) -> None:
    text = compose_file(deployment(gpus=2, model="/models/a"))
    PyCompose.from_yaml(text)
    for right, wrong in (("shm_size", "shmsize"), ("count: 2", "count: x"), ("- gpu", "- [1]")):
        assert right in text
        with pytest.raises(ValueError, match=r"."):
            PyCompose.from_yaml(text.replace(right, wrong))


def test_gpus_are_reserved_as_devices(deployment: Make) -> None:
    assert service_of(deployment(gpus=4))["deploy"] == {
        "resources": {
            "reservations": {"devices": [{"driver": "nvidia", "count": 4, "capabilities": ["gpu"]}]}
        }
    }
    assert "deploy" not in service_of(deployment(gpus=0, options=Options(image="cpu:1")))


def test_it_restarts_has_shared_memory_and_listens_on_loopback(deployment: Make) -> None:
    service = service_of(deployment(options=Options(port=9000)))
    assert service["restart"] == "unless-stopped"
    assert service["shm_size"] == "16gb"
    assert service["ports"] == ["127.0.0.1:9000:9000"]


def test_a_model_folder_is_mounted_read_only_and_must_exist(deployment: Make) -> None:
    (volume,) = service_of(deployment(model="/models/a:b"))["volumes"]
    assert volume == {
        "type": "bind",
        "source": "/models/a:b",
        "target": "/models/a:b",
        "read_only": True,
        "bind": {"create_host_path": False},
    }


def test_a_hub_model_gets_the_callers_cache(deployment: Make) -> None:
    (volume,) = service_of(deployment())["volumes"]
    assert volume["source"] == "/home/me/.cache/huggingface"
    (volume,) = service_of(deployment(), {**SET, "HF_HOME": "/data/hf"})["volumes"]
    assert volume["source"] == "/data/hf"


def test_secrets_are_references_that_must_be_set(deployment: Make) -> None:
    made = deployment(environment={"HF_TOKEN": "***"}, flags={"api-key": "sk-123"})
    text = compose_file(made)
    assert "sk-123" not in text
    assert "***" not in text
    assert yaml.safe_load(text)["services"]["server"]["environment"].get("HF_TOKEN") == (
        "${HF_TOKEN:?set it}"
    )
    assert service_of(made)["command"][-2:] == ["--api-key", "sk-1"]
    with pytest.raises(AssertionError, match="HF_TOKEN is not set"):
        service_of(made, {"HOME": "/", "API_KEY": "k"})


def test_every_value_arrives_unchanged(
    hostile: str, hostile_deployment: Callable[[str], Deployment]
) -> None:
    made = hostile_deployment(hostile)
    service = service_of(made)
    assert [*service["entrypoint"], *service["command"]] == in_container(made)
    assert service["environment"]["NOTE"] == hostile
    assert service["volumes"][0]["source"] == f"/models/{hostile}"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@settings(max_examples=50)
def test_any_value_arrives_unchanged(text: str) -> None:
    written = yaml_text([], {"value": literal(text)})
    assert filled_in(yaml.safe_load(written)) == {"value": text}
