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


def test_plan_prints_what_came_of_each_preset_as_the_documentation_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plan", str(EXAMPLES / "preset.yaml")]) == 0
    text = capsys.readouterr().out
    document = (EXAMPLES.parent / "docs" / "presets.md").read_text()
    (shown,) = (part for part in document.split("```") if part.startswith("\npreset vllm/"))
    assert shown in f"\n{text}"
    assert "#9 " in text  # 2 x 4 x 2 and the baseline


def test_plan_says_that_a_preset_is_the_newest_and_what_to_know_of_it(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = STUDY.replace("{name: sim}", "{name: vllm}").replace("{gpus: 0}", "{gpus_per_node: 2}")
    rule = "exclude:\n  - when: {max-num-seqs: 8, enable-prefix-caching: false}\n"
    text = text.replace(rule + "    reason: not of interest\n", "")
    study.write_text(text.replace("parameters:", "preset: vllm/throughput\nparameters:"))
    assert main(["plan", str(study)]) == 0
    said = capsys.readouterr().out
    assert "preset vllm/throughput@1, the newest: " in said
    assert "layout: [{tensor-parallel-size: 1}, {tensor-parallel-size: 2}]" in said
    assert "note: fp8 rounds the KV cache" in said


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_can_be_planned(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(example)]) == 0
    assert " levels; " in capsys.readouterr().out


def test_engines_lists_engines_launchers_and_load_generators(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["engines"]) == 0
    text = capsys.readouterr().out
    names = ("vllm", "sglang", "custom", "sim", "process", "docker", "kubernetes", "ome")
    assert all(name in text for name in names)
    assert "A container on the node of the attempt." in text
    assert "genai-bench" in text
    assert "presets: sglang/latency@" in text


OME_STUDY = f"""{STUDY}
ome: {{base_model: llama, runtime: rt, image: "mine:2"}}
kubernetes: {{quota: west_gpus}}
"""


@pytest.mark.parametrize(
    ("options", "launcher", "gpus"),
    [
        ([], "launcher: process\n", "0 GPUs, 1 CPUs"),
        (["--launcher", "process"], "launcher: process\n", "0 GPUs, 1 CPUs"),
        (
            ["--launcher", "docker", "--image", "r:5000/sim:1"],
            "launcher: docker, image r:5000/sim:1\n",
            "0 GPUs, 1 CPUs",
        ),
        (
            ["--launcher", "kubernetes", "--image", "sim:1"],
            "launcher: kubernetes, image sim:1\n",
            "0 GPUs (quota west_gpus), 1 CPUs",
        ),
        (
            ["--launcher", "ome"],
            "launcher: ome, base model llama, runtime rt, image mine:2\n",
            "0 GPUs (quota kubernetes_gpus), 1 CPUs",
        ),
    ],
)
def test_a_plan_names_the_launcher_and_its_image_once(
    study: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    launcher: str,
    gpus: str,
) -> None:
    study.write_text(OME_STUDY)
    assert main(["plan", str(study), *options]) == 0
    text = capsys.readouterr().out
    assert text.count(launcher) == 1
    assert text.count(gpus) == 3


@pytest.mark.parametrize("command", ["plan", "run", "doctor"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--image", "mine"], "the launcher process starts programs of the nodes"),
        (["--launcher", "process", "--image", "mine"], "remove this option"),
        (["--launcher", "docker", "--image", "a b"], "no image's name"),
        (["--launcher", "docker"], "no image is known for the engine sim"),
        (["--launcher", "ome", "--image", "mine"], "ome: {base_model: NAME}"),
    ],
)
def test_a_launcher_that_the_study_is_not_made_for_exits_with_1(
    study: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    options: list[str],
    words: str,
) -> None:
    assert main([command, str(study), *options]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", ["plan", "run", "doctor"])
def test_a_launcher_that_does_not_exist_is_refused(
    study: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([command, str(study), "--launcher", "slurm"])
    assert exit_.value.code == 1
    assert "kubernetes" in capsys.readouterr().err


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


def test_a_plan_prints_the_commands_of_ranks_with_their_meeting_place_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        "study: wide\nengine: {name: vllm, flags: {tensor-parallel-size: 16}}\n"
        "model: /models/m\nparameters: {max-num-seqs: [16]}\n"
        'workloads: [{name: chat, scenario: "D(50,20)", concurrency: [1], stop: {seconds: 60}}]\n'
        "objective: minimize_ttft\nresources: {gpus_per_node: 8}\n"
    )
    assert main(["plan", str(study)]) == 0
    printed = capsys.readouterr().out
    assert "16 GPUs on 2 nodes" in printed
    place = "--node-rank {} --master-addr {{master_addr}} --master-port {{master_port}}"
    assert "rank 0: VLLM_NO_USAGE_STATS=1 " in printed
    assert place.format(0) in printed
    assert f"{place.format(1)} --headless" in printed
