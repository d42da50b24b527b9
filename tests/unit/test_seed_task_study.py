"""A task file of the first autotuner, measured whole against the simulated engine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from autotuner.cli.main import main
from autotuner.execution.local import LocalExecutor
from autotuner.spec.experiment import Timeouts
from autotuner.spec.server import Model
from autotuner.spec.study import BenchConfig, EngineConfig, Resources, StudySpec
from autotuner.study import run

TASK = {
    "task_name": "old-task",
    "deployment_mode": "local",
    "model": {"id_or_path": "org/model"},
    "base_runtime": "vllm",
    "parameters": {"max-num-seqs": [4, 8]},
    "optimization": {"objective": "minimize_latency"},
    "slo": {"ttft": {"threshold": 60.0}},
    "benchmark": {
        "traffic_scenarios": ["D(16,8)"],
        "num_concurrency": [1, 2],
        "max_requests_per_iteration": 3,
        "additional_params": {"temperature": "0.0"},
    },
}


def simulated(spec: StudySpec) -> StudySpec:
    """The study on an engine and a load generator that need neither GPU nor model."""
    return replace(
        spec,
        engine=EngineConfig("sim", flags={"time-scale": 0.05}),
        model=Model("/models/tiny", "/models/tiny"),
        bench=BenchConfig("closed-loop"),
        resources=Resources(gpus=0),
        judging=replace(spec.judging, finalist_servers=1),
        timeouts=Timeouts(start_s=3600.0, warmup_s=3600.0, level_grace_s=10.0, stop_s=5.0),
    )


def test_a_task_is_measured_and_its_results_are_exported(tmp_path: Path) -> None:
    path, output, target = tmp_path / "task.json", tmp_path / "results", tmp_path / "old.json"
    path.write_text(json.dumps(TASK))
    with LocalExecutor(cpus=2) as executor:
        results = run(simulated(StudySpec.from_file(path)), output=output, executor=executor)
    assert results.ranking().winner is not None
    assert main(["results", str(output), "--export-seed-json", str(target)]) == 0
    content: dict[str, Any] = json.loads(target.read_text())
    assert content["task_name"] == "old-task"
    assert content["successful_experiments"] == 3  # both combinations, and the baseline
    scores = [experiment["objective_score"] for experiment in content["all_results"]]
    assert content["best_result"]["objective_score"] == min(scores)
    assert content["best_result"]["metrics"]["concurrency_levels"] == [1, 2]
    assert content["elapsed_time"] > 0


def test_the_plan_of_a_task_shows_the_commands(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "task.json"
    path.write_text(json.dumps(TASK))
    assert main(["plan", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "vllm serve org/model" in shown
    assert "--max-num-seqs 8" in shown


BAYESIAN = {
    "task_name": "bayesian",
    "deployment_mode": "local",
    "model": {"id_or_path": "org/model"},
    "base_runtime": "vllm",
    "parameters": {
        "max-num-seqs": [1, 2, 4, 8, 16],
        "max-num-batched-tokens": [256, 512, 1024, 2048],
        "tensor-parallel-size": [1, 2],
        "enable-prefix-caching": [True, False],
    },
    "optimization": {
        "strategy": "bayesian",
        "objective": "maximize_throughput",
        "max_iterations": 30,
        "n_initial_random": 10,
        "seed": 3,
    },
    "slo": {"ttft": {"threshold": 60.0, "hard_fail": True}},
    "benchmark": {
        "traffic_scenarios": ["D(16,8)"],
        "num_concurrency": [1],
        "max_requests_per_iteration": 3,
        "additional_params": {"temperature": "0.0"},
    },
}


def test_a_bayesian_task_measures_as_many_as_it_says_and_ranks_them(tmp_path: Path) -> None:
    path, output = tmp_path / "bayesian_task.json", tmp_path / "results"
    path.write_text(json.dumps(BAYESIAN))
    spec = StudySpec.from_file(path)
    assert (spec.searching.strategy, spec.searching.first) == ("tpe", 10)
    with LocalExecutor(cpus=2) as executor:
        results = run(simulated(spec), output=output, executor=executor)
    assert results.study.search is not None
    assert (results.study.search.candidates, len(results.study.experiments)) == (81, 31)
    assert len(results.ranking().feasible) == 31
    assert results.search_stopped == "max_experiments is reached: 31"
    why = [experiment.why for experiment in results.study.experiments]
    assert why.count("spread over the space") in (9, 10)
    assert all(why)
