"""`tests/bench/search_replay.py` on a few made-up points: what it counts, and what it prints."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"
sys.path.insert(0, str(BENCH))

from replay_points import Arm, Point, Scenario  # noqa: E402
from replay_run import Case, Hazards, case_of, replay  # noqa: E402
from replay_summary import Summary  # noqa: E402

from autotuner.search.base import Problem  # noqa: E402
from autotuner.search.grid import GridStrategy  # noqa: E402
from autotuner.spec.searching import Searching  # noqa: E402

COLUMNS = (
    "backend,backend_version,model_path,system,precision,isl,osl,concurrency,batch_size,tp_size,"
    "pp_size,attention_dp_size,moe_tp_size,moe_ep_size,ttft_ms,tpot_ms"
)
SCENARIO = Scenario("org/made-up-1", "h100_sxm", "fp8", 1000, 100)
MEASURES = {"mean_cost", "p90_cost", "stop_cost", "p95_regret", "hit_rate"}
LEVELS = (4, 16, 64)


def tpot_ms(tp: int, concurrency: int, *, quick: bool) -> float:
    return 10 * (1 + concurrency / tp / 32) / tp**0.4 / (1.2 if quick else 1.0)


def points() -> list[Point]:
    return [
        Point(SCENARIO, Arm(backend, tp, 1, 1, 1, 1), c, 0.1, tpot_ms(tp, c, quick=quick) / 1000)
        for backend, quick in (("a", False), ("b", True))
        for tp in (1, 2, 4, 8)
        for c in LEVELS
    ]


def case(floor: float | None = None, hazards: Hazards | None = None, seed: int = 0) -> Case:
    found = case_of(SCENARIO, points(), floor, hazards or Hazards(), seed)
    assert found is not None
    return found


def grid(of: Case, slots: int = 1):
    problem = Problem(of.candidates, of.judging, Searching())
    return replay(of, GridStrategy(problem), slots)


def test_a_start_and_a_level_cost_their_time_on_all_gpus_of_the_arm():
    assert case().exhaustive_gpu_s == 2 * (1 + 2 + 4 + 8) * (180 + 3 * 90)


def test_the_grid_costs_all_of_it_and_hits_when_the_best_level_has_been_measured():
    """Arms in the order of the plan: the four of engine a, then tp 1 of engine b, which is best."""
    course = grid(case())
    assert course.stop == pytest.approx(1.0)
    assert course.stop_s == 8 * (180 + 3 * 90)
    assert course.hit == pytest.approx((15 + 1) / 30)
    assert course.regret == 0


def test_with_several_slots_what_others_have_taken_meanwhile_counts_until_the_hit():
    course = grid(case(), slots=8)
    assert course.stop_s == 180 + 3 * 90
    assert course.hit == pytest.approx(1.0)


def test_a_level_that_is_too_slow_for_a_user_is_neither_the_best_nor_a_hit():
    slow = case(floor=80)
    assert slow.best < case().best
    assert all(slow.measured[key]["tpot_s_mean"] <= 1 / 80 for key in slow.true)
    assert case_of(SCENARIO, points(), 1e6, Hazards(), 0) is None


def test_a_server_that_crashes_costs_its_start_and_is_not_the_best():
    hazards = Hazards(crash_share=0.5)
    seed = next(
        s for s in range(100) if "b tp1 pp1 dp1 moe-tp1 moe-ep1" in case(None, hazards, s).crashes
    )
    crashing = case(None, hazards, seed)
    assert crashing.best < case().best
    assert crashing.exhaustive_gpu_s < case().exhaustive_gpu_s
    assert grid(crashing).stop == pytest.approx(1.0)


def test_noise_is_on_throughput_alone_and_does_not_move_the_truth():
    noisy = case(None, Hazards(noise_cv=0.2))
    assert noisy.true == case().true
    ratios = [
        row["output_throughput_tok_s"] / case().measured[key]["output_throughput_tok_s"]
        for key, row in noisy.measured.items()
    ]
    assert 0.05 < math.sqrt(sum(math.log(r) ** 2 for r in ratios) / len(ratios)) < 0.4
    assert all(
        row["tpot_s_mean"] == case().measured[k]["tpot_s_mean"] for k, row in noisy.measured.items()
    )


def test_a_search_that_never_hits_costs_the_whole_grid():
    course = grid(case())
    course.hit = None
    assert Summary.of([course]).mean_cost == 1.0


def test_the_last_line_has_all_measures_of_each_policy(tmp_path):
    data = tmp_path / "points.csv"
    rows = [
        f"{p.arm.backend},1,{SCENARIO.model},h100_sxm,fp8,1000,100,{p.concurrency},{p.concurrency},"
        f"{p.arm.tp},1,,1,1,{1000 * p.ttft_s},{1000 * p.tpot_s}"
        for p in points()
    ]
    data.write_text("\n".join([COLUMNS, *rows]))
    command = [sys.executable, str(BENCH / "search_replay.py"), "--data", str(data), "--seeds", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert list(found) == ["grid", "random", "tpe", "adaptive", "adaptive+estimator"]
    for measures in found.values():
        assert measures.keys() == MEASURES | {"at_1_slot", "at_8_slots"}
        assert measures["at_1_slot"].keys() == MEASURES
    assert found["grid"]["stop_cost"] == 1.0
    assert found["adaptive"]["stop_cost"] < 0.6
    assert "it answered" in done.stdout


def test_data_without_enough_arms_is_an_error(tmp_path):
    data = tmp_path / "points.csv"
    data.write_text(f"{COLUMNS}\na,1,m,h100_sxm,fp8,10,10,4,4,1,1,1,1,1,10,10\n")
    command = [sys.executable, str(BENCH / "search_replay.py"), "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "has 8 arms" in done.stderr
