from __future__ import annotations

from dataclasses import replace

import pytest

from autotuner.bench.benchmark_job.gaps import gaps
from autotuner.spec.workload import Dataset, StopRule, Workload

CHAT = Workload("chat", "D(100,10)", (4,), StopRule(120.0, 50), request={"temperature": 0.0})


def test_a_workload_that_a_job_can_have_has_no_gaps() -> None:
    assert gaps(CHAT) == []


@pytest.mark.parametrize(
    "scenario", ["N(480,240)/(300,150)", "U(50,100)/(200,250)", "U(100,200)", "D(1,1)"]
)
def test_every_scenario_of_text_passes(scenario: str) -> None:
    assert gaps(replace(CHAT, scenario=scenario)) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"dataset": Dataset("prompts.csv"), "scenario": "dataset"}, "dataset"),
        ({"scenario": "E(64)"}, "E(64)"),
        ({"scenario": "D(100, 10)"}, "without spaces"),
        ({"stop": StopRule(90.0)}, "90 s"),
        ({"task": "text-to-embeddings"}, "text-to-embeddings"),
    ],
)
def test_each_gap_is_named_once(change: dict[str, object], word: str) -> None:
    (found,) = gaps(replace(CHAT, **change))  # type: ignore[arg-type]
    assert word in found
