from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from autotuner.bench.benchmark_job.manifests import Belonging, start_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    content = start_file("name", Belonging("team"))["data"]["sitecustomize.py"]
    (tmp_path / "sitecustomize.py").write_bytes(base64.b64decode(content))
    program = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ.get('HF_TOKEN')]))"
    (tmp_path / "program").write_text(program)
    return tmp_path


def run(folder: Path, *words: str, **environment: str) -> list[object]:
    done = subprocess.run(
        [sys.executable, str(folder / "program"), *words],
        env={"PYTHONPATH": str(folder), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    found: list[object] = json.loads(done.stdout)
    return found


def test_arguments_are_appended_to_a_benchmarks_own(folder: Path) -> None:
    words, _ = run(folder, "benchmark", "--a", "b", AUTOTUNER_ARGUMENTS='["--c", "d e"]')
    assert words == ["benchmark", "--a", "b", "--c", "d e"]


def test_other_programs_keep_their_arguments(folder: Path) -> None:
    assert run(folder, "excel", AUTOTUNER_ARGUMENTS='["--c"]')[0] == ["excel"]


def test_a_benchmark_without_more_arguments_keeps_its_own(folder: Path) -> None:
    assert run(folder, "benchmark") == [["benchmark"], None]


def test_the_hubs_token_gets_the_name_that_the_hubs_client_knows(folder: Path) -> None:
    assert run(folder, HUGGINGFACE_API_KEY="one")[1] == "one"
    assert run(folder, HUGGINGFACE_API_KEY="one", HF_TOKEN="two")[1] == "two"  # noqa: S106
