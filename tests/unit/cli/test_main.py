"""The command line without Ray: arguments, exit statuses, what is printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autotuner import __version__
from autotuner.cli.main import main

EXAMPLES = Path(__file__).parents[3] / "examples"

STUDY = """
study: tiny
engine: {name: sim}
model: sim-model
parameters:
  max-num-seqs: [1, 8]
  enable-prefix-caching: [false, true]
exclude:
  - when: {max-num-seqs: 8, enable-prefix-caching: false}
    reason: not of interest
workloads:
  - {name: chat, scenario: "D(10,5)", concurrency: [2], stop: {seconds: 5}}
objective: minimize_ttft
baseline: false
finalist_servers: 1
order: plan
resources: {gpus: 0}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.strip() == f"autotuner {__version__}"


def test_help_shows_examples_and_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "autotuner run study.yaml" in text
    assert "130 interrupted" in text


@pytest.mark.parametrize("argv", [["nonsense"], ["run"], ["plan", "a", "b"], []])
def test_bad_arguments_are_the_users_mistake_and_exit_with_1(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 1


def test_a_bad_study_file_exits_with_1_and_names_line_and_fix(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study.write_text(STUDY.replace("model: sim-model", "modle: sim-model"))
    assert main(["plan", str(study)]) == 1
    error = capsys.readouterr().err
    assert f"{study}:4" in error
    assert "modle" in error
    assert "did you mean" in error


def test_a_plan_that_cannot_be_made_names_the_file(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = "{max-num-seqs: 8, enable-prefix-caching: false}"
    study.write_text(STUDY.replace(rule, "{max-num-seqs: {at_least: 1}}"))
    assert main(["plan", str(study)]) == 1
    error = capsys.readouterr().err
    assert f"{study}: " in error
    assert "all 4 combinations are excluded" in error


def test_plan_prints_ids_commands_exclusions_and_duplicates(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(study)]) == 0
    text = capsys.readouterr().out
    assert "--port {port}" in text
    assert "--served-model-name {served_name}" in text
    assert "--max-num-seqs 8 --enable-prefix-caching" in text
    assert "not of interest" in text
    assert "SIMULATED" in text
    assert "3 experiments, 3 levels; 1 excluded, 0 duplicates" in text


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_can_be_planned(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(example)]) == 0
    assert "experiments" in capsys.readouterr().out


def test_engines_lists_engines_launchers_and_load_generators(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["engines"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("vllm", "sglang", "custom", "sim", "process"))
    assert "genai-bench" in text


def test_results_of_a_folder_without_a_study_exit_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", str(tmp_path)]) == 1
    assert "holds no study" in capsys.readouterr().err


def test_results_json_is_json_without_infinities(
    tmp_path: Path, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from autotuner import StudySpec, plan
    from autotuner.results.store import ResultStore
    from autotuner.study import record_of

    ResultStore.create(tmp_path / "out", record_of(plan(StudySpec.from_file(study))))
    assert main(["results", str(tmp_path / "out"), "--json"]) == 0
    ranking = json.loads(capsys.readouterr().out)
    assert {entry["status"] for entry in ranking["entries"]} == {"pending"}
    assert all(entry["value"] is None for entry in ranking["entries"])
