"""`autotuner estimate` as a user sees it: no GPU, no Ray, no network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from autotuner.cli.main import main

CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": 80,
    "hidden_size": 8192,
    "vocab_size": 128256,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "intermediate_size": 28672,
    "max_position_embeddings": 131072,
}
STUDY = """
study: seventy
engine: {name: vllm, flags: {max-model-len: 8192}}
model: MODEL
parameters: {tensor-parallel-size: [1, 4, 8]}
workloads:
  - {name: chat, scenario: "D(1000,200)", concurrency: [4, 64], stop: {seconds: 60}}
objective: {name: maximize_throughput, per_gpu: true, over: best}
constraints: {tpot_s: {mean: 0.2}}
baseline: false
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(CONFIG))
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("MODEL", str(model)))
    return path


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["estimate", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_each_level_has_its_numbers_and_each_experiment_its_expected_rank(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, study, "--gpu", "H100")
    assert "estimated by roofline" in text
    lines = [line for line in text.splitlines() if "c=4" in line or "c=64" in line]
    assert len(lines) == 4
    assert lines[0].split()[:2] == ["1", "tensor-parallel-size=4"]
    assert "±30 %" in lines[0]
    assert "constraint: tpot_s_mean <= 0.2" in text


def test_what_cannot_fit_is_said_with_its_arithmetic(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, study, "--gpu", "H100")
    assert "cannot fit: tensor-parallel-size=1: weights 141.1 GB" in text


def test_without_a_gpu_it_says_where_to_name_one(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, study)
    assert "unknown of 3 experiments: the GPUs' model is not known" in text
    assert "--gpu" in text
    study.write_text(study.read_text() + "resources: {gpu_type: H200}\n")
    assert "unknown" not in printed(capsys, study)


def test_json_has_all_experiments_with_numbers_or_reasons(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(printed(capsys, study, "--gpu", "L40S", "--json", "--most", "1"))
    by_size = {e["parameters"]["tensor-parallel-size"]: e for e in content["experiments"]}
    assert set(by_size) == {1, 4, 8}
    assert by_size[1]["cannot_fit"].startswith("weights")
    assert by_size[1]["expected_rank"] is None
    assert {by_size[4]["expected_rank"], by_size[8]["expected_rank"]} == {1, 2}
    level = by_size[8]["levels"][0]
    assert level["estimate"]["tpot_s"] > 0
    assert 0 <= level["chance_to_keep_limits"] <= 1
    assert level["unknown"] is None


def test_the_studys_own_estimator_is_taken_unless_another_is_named(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study.write_text(study.read_text() + "search: {estimator: roofline + roofline}\n")
    assert "estimated by roofline + roofline" in printed(capsys, study, "--gpu", "H100")
    named = printed(capsys, study, "--gpu", "H100", "--estimator", "roofline")
    assert "estimated by roofline\n" in named


def test_an_unknown_estimator_is_the_users_mistake(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["estimate", str(study), "--estimator", "rofline"]) == 1
    assert "did you mean 'roofline'" in capsys.readouterr().err


def test_a_long_plan_shows_the_most_promising_first(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, study, "--gpu", "H100", "--most", "1")
    assert "tensor-parallel-size=4" in text
    assert "tensor-parallel-size=8" not in text
    assert "2 more experiments" in text


def test_a_load_that_is_to_be_found_is_shown_by_its_doublings_and_ranks_configurations(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = study.read_text().replace(
        "concurrency: [4, 64]", "load: {find: max_concurrency, max: 64}"
    )
    start = text.index("objective:")
    text = text[:start] + "objective: maximize_load\n" + text[text.index("\n", start) + 1 :]
    study.write_text(text)
    lines = printed(capsys, study, "--gpu", "H100").splitlines()
    shown = [word for line in lines for word in line.split() if word.startswith("c=")]
    assert shown == 2 * ["c=1", "c=2", "c=4", "c=8", "c=16", "c=33", "c=64"]
    (first,) = (line.split() for line in lines if "tensor-parallel-size=8" in line)
    assert first[0] == "1", "the faster one takes the larger load"


def test_neither_ray_nor_a_gpu_library_is_loaded(study: Path) -> None:
    code = (
        "import sys\n"
        "from autotuner.cli.main import main\n"
        f"main(['estimate', {str(study)!r}, '--gpu', 'H100'])\n"
        "sys.exit(len({'ray', 'torch', 'pynvml'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
