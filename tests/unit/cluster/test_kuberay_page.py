"""The page that says how to use the manifests: its commands are those that work."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator

from kuberay.manifests import FOLDER, documents, driver_group, the
from ray.dashboard.modules.job.cli import submit

from autotuner.cli.main import _parser

ROOT = FOLDER.parents[1]
TEXT = (ROOT / "docs" / "cluster-kuberay.md").read_text()


def commands() -> Iterator[list[str]]:
    """Words of every command in the page's blocks."""
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL):
        # A quoted text may span lines; a command in $(...) is looked at as one of its own.
        joined = block.replace("\\\n", " ")
        for inner in re.findall(r'"\$\((.*?)\)"', joined, re.DOTALL):
            yield shlex.split(inner, comments=True)
        for line in re.sub(r'"\$\(.*?\)"', "VALUE", joined, flags=re.DOTALL).splitlines():
            if line:
                yield shlex.split(line, comments=True)


def value_of(option: str, words: list[str]) -> str | None:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def test_every_manifest_is_in_the_table() -> None:
    table = TEXT.partition("`cluster/container/Dockerfile` is")[0]
    assert [path.name for path in FOLDER.glob("*.yaml") if f"`{path.name}`" not in table] == []


def test_every_file_that_a_command_names_is_there() -> None:
    named = {value_of(option, words) for words in commands() for option in ("--filename", "--file")}
    files = {name for name in named if name and name != "-"}
    assert files
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_every_command_of_ours_parses() -> None:
    seen = set()
    for words in commands():
        inside = words[words.index("--") + 1 :] if "--" in words else words
        if inside[:1] == ["autotuner"]:
            _parser().parse_args(inside[1:])
            seen.add(inside[1])
    assert seen == {"run", "results", "doctor"}


def test_ray_takes_the_job_and_it_gets_to_the_drivers_pod() -> None:
    (words,) = (words for words in commands() if words[:3] == ["ray", "job", "submit"])
    read = submit.make_context("submit", words[3:]).params
    assert read["entrypoint"][0] == "autotuner"
    job = the("rayjob.yaml", "RayJob")["spec"]
    assert read["entrypoint_resources"] == job["entrypointResources"]


def test_the_patch_is_of_the_group_of_gpu_nodes() -> None:
    (words,) = (words for words in commands() if words[:2] == ["kubectl", "patch"])
    (change,) = json.loads(value_of("--patch", words) or "")
    spec = the("raycluster.yaml", "RayCluster")
    *parents, last = change["path"].strip("/").split("/")
    for part in parents:
        spec = spec[int(part)] if part.isdigit() else spec[part]
    assert spec["groupName"] == "gpu"
    assert last in spec


def test_the_operators_settings_are_json_of_strings() -> None:
    (words,) = (words for words in commands() if words[:2] == ["helm", "install"])
    name, _, text = (value_of("--set-json", words) or "").partition("=")
    assert name == "env"
    assert all(isinstance(value, str) for each in json.loads(text) for value in each.values())


def test_the_secrets_that_manifests_want_are_created() -> None:
    made = {w[w.index("generic") + 1] for w in commands() if "generic" in w}
    wanted = {
        match
        for name, document in documents()
        for match in re.findall(r"'secretKeyRef': {'name': '([\w-]+)'", str(document))
    }
    assert wanted == made == {"ray-token", "redis-password"}


def test_pods_are_looked_for_by_the_names_that_they_have() -> None:
    cluster = the("raycluster.yaml", "RayCluster")
    group = driver_group(cluster["spec"])["groupName"]
    assert f"ray.io/cluster={cluster['metadata']['name']},ray.io/group={group}" in TEXT
    assert f"service/{cluster['metadata']['name']}-head-svc" in TEXT
    job = the("rayjob-ephemeral.yaml", "RayJob")["metadata"]["name"]
    assert f"`{job}-head-svc`" in TEXT
