"""``optimization`` and ``slo`` of a task file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from autotuner.spec.experiment import Timeouts
from autotuner.spec.objective import Constraint, Direction, Over, Penalty
from autotuner.spec.searching import Budget, Searching

if TYPE_CHECKING:
    from .conftest import TaskWriter


@pytest.mark.parametrize(
    ("name", "column", "direction"),
    [
        ("minimize_latency", "e2e_latency_s_mean", Direction.MINIMIZE),
        ("maximize_throughput", "total_throughput_tok_s", Direction.MAXIMIZE),
        ("minimize_ttft", "ttft_s_mean", Direction.MINIMIZE),
        ("minimize_tpot", "tpot_s_mean", Direction.MINIMIZE),
    ],
)
def test_objectives_keep_their_names_and_metrics(
    task: TaskWriter, name: str, column: str, direction: Direction
) -> None:
    objective = task.load(optimization={"objective": name}).judging.objective
    assert (objective.name, objective.column, objective.direction) == (name, column, direction)


def test_one_level_needs_no_mean(task: TaskWriter) -> None:
    objective = task.load().judging.objective
    assert (objective.over, objective.workload, objective.concurrency) == (None, "D(100,100)", 4)


def test_several_levels_are_averaged_with_a_warning_that_names_a_better_choice(
    task: TaskWriter,
) -> None:
    changes = {
        "benchmark": {
            "traffic_scenarios": ["D(100,100)", "D(9,9)"],
            "num_concurrency": [1, 8],
        }
    }
    assert task.load(**changes).judging.objective.over is Over.SEED_MEAN
    warning = task.warning("optimization.objective", **changes)
    assert "the plain mean of 4 levels" in warning
    assert "mixes different traffic" in warning
    assert 'at: {concurrency: 8, workload: "D(100,100)"}' in warning


def test_throughput_is_not_divided_by_gpus_in_docker_mode_either(task: TaskWriter) -> None:
    changes = {
        "deployment_mode": "docker",
        "optimization": {"objective": "maximize_throughput"},
    }
    assert "divided by the GPUs" in task.warning("optimization.objective", **changes)


SIX: dict[str, Any] = {"tp-size": [1, 2], "schedule-policy": ["lpm", "fcfs", "random"]}


@pytest.mark.parametrize(
    ("optimization", "searching"),
    [
        ({}, Searching()),
        ({"strategy": "grid_search"}, Searching()),
        ({"strategy": "grid_search", "max_iterations": 6}, Searching()),
        ({"strategy": "random", "max_iterations": 6}, Searching("random")),
        ({"strategy": "random", "seed": 3}, Searching("random", 3)),
        ({"strategy": "bayesian"}, Searching("tpe")),
        (
            {"strategy": "bayesian", "max_iterations": 4, "n_initial_random": 2, "seed": 5},
            Searching("tpe", 5, 2, budget=Budget(5)),
        ),
        # The first of a grid would hardly vary the first parameters.
        ({"strategy": "grid_search", "max_iterations": 4}, Searching("random", budget=Budget(5))),
    ],
)
def test_a_task_is_searched_as_it_says(
    task: TaskWriter, optimization: dict[str, Any], searching: Searching
) -> None:
    assert task.load(parameters=SIX, optimization=optimization).searching == searching


def test_combinations_that_are_left_out_are_counted_in_a_warning(task: TaskWriter) -> None:
    changes = {"parameters": SIX, "optimization": {"strategy": "bayesian", "max_iterations": 4}}
    warning = task.warning("optimization.max_iterations", **changes)
    assert warning.endswith("4 of 6 combinations are measured, and the baseline")
    changes = {"parameters": SIX, "optimization": {"max_iterations": 4}}
    assert "drawn at random" in task.warning("optimization.max_iterations", **changes)
    enough = task.load(parameters={"tp-size": [1, 2]}, optimization={"max_iterations": 2})
    assert not [w for w in enough.warnings if "max_iterations" in w]


def test_a_first_phase_is_of_a_model_alone(task: TaskWriter) -> None:
    changes = {"optimization": {"strategy": "random", "n_initial_random": 2}}
    assert task.load(**changes).searching.first is None
    assert "without a model" in task.warning("optimization.n_initial_random", **changes)


def test_the_time_limit_is_the_servers(task: TaskWriter) -> None:
    assert task.load().timeouts == Timeouts(start_s=600)
    without = {"optimization": {"timeout_per_iteration": None}}
    assert task.load(**without).timeouts == Timeouts()
    assert "not given" in task.warning("optimization.timeout_per_iteration", **without)


def test_the_seed_draws_the_order(task: TaskWriter) -> None:
    assert task.load().order_seed == 0
    assert task.load(optimization={"seed": 3}).order_seed == 3


def test_limits_are_soft_unless_they_fail_hard(task: TaskWriter) -> None:
    slo = {
        "latency": {
            "p90": {"threshold": 5.0, "weight": 2.0, "hard_fail": True, "fail_ratio": 0.2},
            "p99": {"threshold": 10},
        },
        "ttft": {"threshold": 1.0, "hard_fail": False},
        "tpot": {"threshold": 0.05, "hard_fail": True},
        "steepness": 0.2,
    }
    assert task.load(slo=slo).judging.constraints == (
        Constraint("e2e_latency_s", "p90", 5.0, penalty=Penalty(2.0, 0.2, 0.2)),
        Constraint("e2e_latency_s", "p99", 10.0, penalty=Penalty(1.0, 0.2, None)),
        Constraint("ttft_s", "mean", 1.0, penalty=Penalty(1.0, 0.2, None)),
        Constraint("tpot_s", "mean", 0.05, penalty=Penalty(1.0, 0.2, 0.5)),
    )


def test_the_penalty_that_begins_at_nothing_is_told(task: TaskWriter) -> None:
    spec = task.load(slo={"ttft": {"threshold": 1.0}})
    assert [w for w in spec.warnings if w.startswith("slo: a miss costs")]
    assert [w for w in spec.warnings if w.startswith("slo: each level must keep")]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"optimization": {"strategy": "annealing"}}, "optimization.strategy"),
        ({"optimization": {"objective": "min_latency"}}, "optimization.objective"),
        ({"optimization": {"objective": None}}, "optimization.objective"),
        ({"optimization": {"max_iterations": 0}}, "optimization.max_iterations"),
        ({"optimization": {"timeout_per_iteration": "600"}}, "optimization.timeout_per_iteration"),
        ({"optimization": {"seed": True}}, "optimization.seed"),
        ({"optimization": {"n_initial_random": 0}}, "optimization.n_initial_random"),
        ({"slo": {"latency": {"p98": {"threshold": 1}}}}, "slo.latency.p98"),
        ({"slo": {"ttft": {"threshold": -1}}}, "slo.ttft.threshold"),
        ({"slo": []}, "slo"),
    ],
)
def test_what_is_no_goal_is_refused(task: TaskWriter, changes: dict[str, Any], key: str) -> None:
    assert task.problem(**changes).key == key
