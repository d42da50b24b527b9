"""The bench that judges estimators, on measurements that follow the roofline's own rules."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from model_facts import config_of, facts_of
from replay_estimators import ReplayEstimators, public_architecture
from replay_points import Arm, Scenario, family_of, read_points, subject_of

from autotuner.search.base import Candidate
from autotuner.search.estimators.architecture import ArchitectureError
from autotuner.search.estimators.base import Estimate, Load
from autotuner.search.estimators.roofline import Roofline
from autotuner.spec.workload import Level

BENCH = Path(__file__).parents[3] / "bench" / "estimator_ranking.py"
COLUMNS = (
    "backend,backend_version,model_path,system,precision,isl,osl,concurrency,batch_size,tp_size,"
    "pp_size,attention_dp_size,moe_tp_size,moe_ep_size,ttft_ms,tpot_ms"
)
MODELS = ("meta-llama/Llama-3.1-70B", "Qwen/Qwen3-235B-A22B-FP8", "nobody/New-Model")


def rows(model, sizes=(1, 2, 4, 8), concurrencies=(4, 32)):
    of = Scenario(model, "h200_sxm", "fp8", 1000, 500)
    known = model if facts_of(model) else MODELS[0]
    for tp in sizes:
        for concurrency in concurrencies:
            arm = Arm("vllm", tp, 1, 1, tp, 1)
            point = ReplayEstimators(()).of("roofline", "x")
            said = point.estimate(subject(of, arm, known), Load(of.isl, of.osl, concurrency))
            yield (
                f"vllm,0.1,{model},{of.system},fp8,1000,500,{concurrency},{concurrency},{tp},1,1,"
                f"{tp},1,{1000 * said.ttft_s},{1000 * said.tpot_s}"
            )


def subject(scenario, arm, model):
    return replace(subject_of(scenario, arm), model=model)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("\n".join([COLUMNS, *(row for model in MODELS for row in rows(model))]) + "\n")
    return path


def test_an_estimator_that_is_right_puts_the_best_arm_first(data):
    done = subprocess.run(
        [sys.executable, str(BENCH), "--data", str(data), "--arms", "4"],
        capture_output=True,
        text=True,
        check=True,
    )
    summary = json.loads(done.stdout.splitlines()[-1])
    assert set(summary) == {"roofline", "earlier", "both"}
    # Of the families that the constants were not fitted to: Qwen.
    assert summary["roofline"]["spearman_0"] == 1.0
    assert summary["roofline"]["first_good_0"] == 1.0
    assert summary["roofline"]["top_40"] == 1.0


def test_repeated_cells_are_one_point_and_rows_without_a_load_none(data):
    again = data.read_text().splitlines()[1].split(",")
    again[-1] = str(3 * float(again[-1]))
    without = [*again[:7], "", *again[8:]]
    data.write_text(data.read_text() + "\n".join(map(",".join, (again, without))) + "\n")
    points = read_points(data)
    assert len(points) == 24
    (first,) = (
        point
        for point in points
        if (point.scenario.model, point.arm.tp, point.concurrency)
        == (again[2], int(again[9]), int(again[7]))
    )
    assert first.tpot_s == pytest.approx(2 * float(again[-1]) / 3 / 1000)


def test_a_missing_attention_dp_size_follows_from_how_the_experts_are_divided(data):
    line = "sglang,,deepseek-ai/DeepSeek-R1,b200_sxm,fp4,1000,500,64,8,1,1,,1,8,100,10"
    data.write_text(f"{COLUMNS}\n{line}\n")
    (point,) = read_points(data)
    assert (point.arm.dp, point.arm.gpus) == (8, 8)


def test_the_estimator_of_earlier_results_has_not_seen_the_family(data):
    estimators = ReplayEstimators(read_points(data))
    seen = estimators.of("earlier", "llama")._groups
    assert not [group for group in seen if "Llama" in group]
    assert len(seen) == 2


def test_an_unknown_model_is_estimated_by_others_results_alone(data):
    estimators = ReplayEstimators(read_points(data))
    scenario = Scenario(MODELS[2], "h200_sxm", "fp8", 1000, 500)
    arms = {"a": Arm("vllm", 2, 1, 1, 2, 1)}
    level = Level("chat", "D(1000,500)", 8)
    candidate = Candidate("a", {}, 2, (level,))
    assert estimators.problem_estimate("roofline", scenario, arms)(candidate, level) is None
    for kind in ("earlier", "both"):
        said = estimators.problem_estimate(kind, scenario, arms)(candidate, level)
        assert isinstance(said, Estimate)


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("deepseek-ai/DeepSeek-R1", "deepseek"),
        ("nvidia/DeepSeek-V3.1-NVFP4", "deepseek"),
        ("openai/gpt-oss-120b", "gpt-oss"),
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "llama"),
        ("Qwen/Qwen3-32B", "qwen"),
        ("Qwen/Qwen3.5-397B-A17B", "qwen"),
        ("moonshotai/Kimi-K2.5", "kimi"),
        ("zai-org/GLM-5-FP8", "glm"),
    ],
)
def test_versions_and_editions_of_a_model_are_one_family(model, family):
    assert family_of(model) == family


def test_facts_are_found_by_the_longest_name_and_none_are_made_up():
    assert config_of("Qwen/Qwen3.5-397B-A17B-FP8")["num_experts"] == 512
    assert config_of("nvidia/DeepSeek-V3.2-NVFP4")["index_topk"] == 2048
    with pytest.raises(ArchitectureError):
        public_architecture("Qwen/Qwen9-1T")
    assert isinstance(ReplayEstimators(()).of("roofline", "x"), Roofline)
