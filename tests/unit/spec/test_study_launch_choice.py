"""The chosen launcher: its image, and what it asks of the rest of a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autotuner.errors import StudyFileError, StudyProblem
from autotuner.spec.launching import DockerSettings, OmeSettings, PodSettings
from autotuner.spec.study import StudySpec

if TYPE_CHECKING:
    from .conftest import StudyWriter

OME = "ome: {base_model: llama}"


def problems_of(path: Path, launcher: str | None, image: str | None) -> tuple[StudyProblem, ...]:
    with pytest.raises(StudyFileError) as caught:
        StudySpec.from_file(path, launcher, image)
    return caught.value.problems


def image_of(spec: StudySpec) -> str | None:
    assert spec.launch is not None
    return spec.launch.image


@pytest.mark.parametrize("launcher", ["docker", "kubernetes", "ome"])
@pytest.mark.parametrize(
    ("engine", "section", "image"),
    [
        ("name: vllm, version: 0.11.0", "", "vllm/vllm-openai:v0.11.0"),
        ("name: sglang, version: 0.5.2.post1", "", "lmsysorg/sglang:v0.5.2.post1"),
        ("name: vllm, version: 0.11.0, image: 'r:5000/a:b'", "", "r:5000/a:b"),
        ("name: vllm, image: a", "image: 'r:5000/c'", "r:5000/c"),
        ("name: vllm, version: 0.11.0", "image: mine", "mine"),
        ("name: sim, image: mine", "", "mine"),
    ],
)
def test_the_image_is_the_sections_else_the_engines_else_that_of_its_version(
    study: StudyWriter, launcher: str, engine: str, section: str, image: str
) -> None:
    base = "base_model: llama, " if launcher == "ome" else ""
    spec = study.load(
        engine=f"engine: {{{engine}}}",
        launcher=f"launcher: {launcher}",
        x=f"{launcher}: {{{base}{section}}}",
    )
    assert image_of(spec) == image
    command_line = StudySpec.from_file(study.folder / "study.yaml", image="theirs:1")
    assert image_of(command_line) == "theirs:1"


def test_the_image_of_the_section_of_another_launcher_does_not_count(study: StudyWriter) -> None:
    sections = {
        "engine": "engine: {name: vllm, version: 0.11.0}",
        "x": "docker: {image: mine}",
        "y": "launcher: kubernetes",
    }
    assert image_of(study.load(**sections)) == "vllm/vllm-openai:v0.11.0"


@pytest.mark.parametrize("launcher", ["docker", "kubernetes", "ome"])
@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("vllm", "the engine's release here, such as `version: 0.11.0`"),
        ("sim", "no image is known for the engine sim"),
    ],
)
def test_a_container_without_an_image_is_asked_for_one(
    study: StudyWriter, launcher: str, engine: str, words: str
) -> None:
    problem = study.problem(
        engine=f"engine: {{name: {engine}}}", launcher=f"launcher: {launcher}", ome=OME
    )
    assert (problem.key, problem.value, problem.line) == ("engine.image", "", 2)
    assert words in problem.fix
    assert f"the launcher {launcher} needs" in problem.fix
    assert "`image: NAME:TAG`" in problem.fix


def test_a_version_gives_no_image_to_an_engine_whose_images_are_not_known(
    study: StudyWriter,
) -> None:
    problem = study.problem(
        engine="engine: {name: sim, version: 1.0.0}", launcher="launcher: docker"
    )
    assert "no image is known for the engine sim" in problem.fix


def test_a_serving_runtime_of_the_cluster_brings_an_image_of_its_own(study: StudyWriter) -> None:
    spec = study.load(launcher="launcher: ome", ome="ome: {base_model: llama, runtime: rt}")
    assert spec.launch == OmeSettings("llama", runtime="rt")
    assert image_of(spec) is None


def test_an_image_for_gpus_is_not_taken_for_servers_without(study: StudyWriter) -> None:
    sections = {"launcher": "launcher: docker", "resources": "resources: {gpus: 0}"}
    problem = study.problem(engine="engine: {name: vllm, version: 0.11.0}", **sections)
    assert (problem.key, problem.value, problem.line) == ("engine.version", "0.11.0", 2)
    assert "made for GPUs" in problem.fix
    assert image_of(study.load(engine="engine: {name: vllm, image: cpu}", **sections)) == "cpu"


@pytest.mark.parametrize(
    ("engine", "key", "value", "words"),
    [
        ("version: 0.11", "version", "0.11", "in quotes, such as `version: 0.11.0`"),
        ("version: '0.11'", "version", "'0.11'", "whole release"),
        ("version: v0.11.0", "version", "v0.11.0", "without v: 0.11.0"),
        ("version: latest", "version", "latest", "whole release"),
        ("image: a b", "image", "a b", "no image's name"),
        ("image: 3", "image", "3", "in quotes"),
        ("tag: v1", "tag", "v1", "`version`"),
    ],
)
@pytest.mark.parametrize("launcher", ["process", "docker"])
def test_a_wrong_version_or_image_of_the_engine_is_explained_once(
    study: StudyWriter, launcher: str, engine: str, key: str, value: str, words: str
) -> None:
    problem = study.problem(
        engine=f"engine: {{name: vllm, {engine}}}", launcher=f"launcher: {launcher}"
    )
    assert (problem.key, problem.value, problem.line) == (f"engine.{key}", value, 2)
    assert words in problem.fix


def test_a_process_has_a_version_for_the_other_launchers(study: StudyWriter) -> None:
    spec = study.load(engine="engine: {name: vllm, version: 0.11.0, image: mine}")
    assert (spec.engine.version, spec.launch) == ("0.11.0", None)


@pytest.mark.parametrize("launcher", ["docker", "kubernetes", "ome", "process"])
def test_a_missing_section_of_ome_is_asked_for(study: StudyWriter, launcher: str) -> None:
    sections = {
        "engine": "engine: {name: vllm, version: 0.11.0}",
        "launcher": f"launcher: {launcher}",
    }
    if launcher != "ome":
        assert study.load(**sections).launcher == launcher
        return
    problem = study.problem(**sections)
    assert problem.key == "ome"
    assert "`ome: {base_model: NAME}`" in problem.fix


@pytest.mark.parametrize("launcher", ["kubernetes", "ome"])
@pytest.mark.parametrize(
    ("engine", "key", "value"),
    [
        ("{name: vllm, image: a, executable: ./vllm}", "engine.executable", "./vllm"),
        ("{name: vllm, image: a, executable: ~/vllm}", "engine.executable", "~/vllm"),
        ("{name: custom, image: a, command: [a/b, '{port}']}", "engine.command[0]", "a/b"),
    ],
)
def test_a_program_in_the_cluster_cannot_lie_beside_the_study_file(
    study: StudyWriter, launcher: str, engine: str, key: str, value: str
) -> None:
    problem = study.problem(engine=f"engine: {engine}", launcher=f"launcher: {launcher}", ome=OME)
    assert (problem.key, problem.value, problem.line) == (key, value, 2)
    assert "a program in the image" in problem.fix


@pytest.mark.parametrize("executable", ["vllm", "/opt/vllm/bin/vllm"])
def test_names_and_absolute_paths_of_programs_are_those_of_the_image(
    study: StudyWriter, executable: str
) -> None:
    engine = f"engine: {{name: vllm, image: a, executable: {executable}}}"
    spec = study.load(engine=engine, launcher="launcher: kubernetes")
    assert spec.engine.executable == executable


def test_a_program_of_a_container_may_be_mounted_from_beside_the_study(study: StudyWriter) -> None:
    spec = study.load(
        engine="engine: {name: vllm, image: a, executable: ../venv/bin/vllm}",
        launcher="launcher: docker",
        docker="docker: {mounts: [../venv]}",
    )
    assert isinstance(spec.launch, DockerSettings)
    assert spec.engine.executable == f"{spec.launch.mounts[0].target}/bin/vllm"


@pytest.mark.parametrize("launcher", ["kubernetes", "ome"])
def test_cpus_of_a_node_of_the_cluster_cannot_be_named(study: StudyWriter, launcher: str) -> None:
    sections = {
        "engine": "engine: {name: vllm, image: a}",
        "launcher": f"launcher: {launcher}",
        "ome": OME,
    }
    problem = study.problem(**sections, x="resources: {cpus: {server: 0-3, load: 4}}")
    assert (problem.key, problem.value) == ("resources.cpus.server", "0-3")
    assert "requests: {cpu: 8}" in problem.fix
    spec = study.load(**sections, x="resources: {cpus: {load: 4}}")
    assert spec.resources.cpus.load == (4,)


@pytest.mark.parametrize(
    ("model", "section", "warnings"),
    [
        ("org/model", "", 0),
        ("/models/a", "", 1),
        ("/models/a", "model_claim: b", 0),
        ("/models/a", "model_on_nodes: true", 0),
        ("/models/a", "model_claim: b, model_mount: /models/", 0),
        ("/models", "model_claim: b, model_mount: /models", 0),
        ("/models/a", "model_claim: b, model_mount: /mod", 1),
    ],
)
def test_a_folder_that_a_pod_may_not_have_is_warned_of(
    study: StudyWriter, model: str, section: str, warnings: int
) -> None:
    spec = study.load(
        engine="engine: {name: vllm, image: a}",
        model=f"model: {model}",
        launcher="launcher: kubernetes",
        x=f"kubernetes: {{{section}}}",
    )
    assert len(spec.warnings) == warnings
    assert all(f"the folder {model}" in warning for warning in spec.warnings)


def test_a_claim_that_ome_does_not_use_is_warned_of(study: StudyWriter) -> None:
    spec = study.load(
        engine="engine: {name: vllm, image: a}",
        model="model: /models/a",
        launcher="launcher: ome",
        ome="ome: {base_model: llama, model_claim: b}",
    )
    (warning,) = spec.warnings
    assert "`model_claim` not used: the base model says where the model lies" in warning


def test_the_command_line_chooses_another_launcher(study: StudyWriter) -> None:
    path = study.folder / "study.yaml"
    study.load(
        engine="engine: {name: vllm, version: 0.11.0}",
        launcher="launcher: docker",
        ome=OME,
        x="kubernetes: {namespace: a}",
    )
    assert StudySpec.from_file(path).launcher == "docker"
    assert StudySpec.from_file(path, "process").launch is None
    pod = StudySpec.from_file(path, "kubernetes", "mine:1").launch
    assert pod == PodSettings(image="mine:1", namespace="a")
    ome = StudySpec.from_file(path, launcher="ome", image="mine:1").launch
    assert ome == OmeSettings("llama", pod=PodSettings(image="mine:1"))


def test_the_command_lines_image_may_be_the_only_one(study: StudyWriter) -> None:
    path = study.folder / "study.yaml"
    study.load()
    assert StudySpec.from_file(path, "docker", "mine").launch == DockerSettings(image="mine")


@pytest.mark.parametrize(
    ("launcher", "image", "key", "words"),
    [
        (None, "mine", "--image", "or add --launcher docker"),
        ("process", "mine", "--image", "the launcher process starts programs"),
        ("docker", "a b", "--image", "'a b': this is no image's name"),
        ("dockr", None, "launcher", "did you mean `docker`?"),
        ("ome", "mine", "ome", "`ome: {base_model: NAME}`"),
    ],
)
def test_a_mistake_on_the_command_line_is_explained(
    study: StudyWriter, launcher: str | None, image: str | None, key: str, words: str
) -> None:
    study.load()
    (problem,) = problems_of(study.folder / "study.yaml", launcher, image)
    assert problem.key == key
    assert words in problem.fix


def test_rules_of_a_launcher_hold_for_the_one_that_is_chosen(study: StudyWriter) -> None:
    study.load(x="resources: {cpus: {server: 0}}", engine="engine: {name: vllm, image: a}")
    (problem,) = problems_of(study.folder / "study.yaml", "kubernetes", None)
    assert problem.key == "resources.cpus.server"
