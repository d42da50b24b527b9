"""Where each server begins to look for the largest load."""

from dataclasses import replace

import pytest

from autotuner.driver.searching.load_starts import LoadStarts
from autotuner.planning import plan
from autotuner.results.level_rows import level_result
from autotuner.results.levels import RequestRecord, RequestStatus
from autotuner.spec.experiment import Attempt, Completed, Failed, FailureKind, Phase
from autotuner.spec.objective import Constraint
from autotuner.spec.workload import LoadRange

TTFT = Constraint("ttft_s", "p95", 1.0)
CRASHED = Failed(FailureKind.SERVER_CRASHED, Phase.LOAD, "it broke")


class Study:
    def __init__(self, make_spec, *workloads):
        self.plan = plan(make_spec({"max-num-seqs": [1, 2]}, workloads=workloads))
        self.starts = LoadStarts(replace(self.plan.spec.judging, constraints=(TTFT,)))

    def measured(self, index, ttfts, outcome, workload="chat"):
        """One attempt: concurrency -> TTFT in seconds, None where its requests failed."""
        attempt = Attempt("study", self.plan.experiments[index], 1)
        levels = {v.concurrency: v for v in attempt.experiment.levels if v.workload == workload}
        for concurrency, ttft_s in ttfts.items():
            record = RequestRecord(
                0, RequestStatus.COMPLETED, 0.0, ttft_s=ttft_s, e2e_latency_s=2.0, output_tokens=5
            )
            result = level_result(
                levels[concurrency],
                [record],
                attempt=attempt,
                started_at=None,
                gpus=0,
                failure="refused" if ttft_s is None else None,
                simulated=True,
            )
            self.starts.level(attempt, result)
        self.starts.end(attempt, outcome)

    @property
    def start(self):
        (search,) = self.starts.plan_of(self.plan.experiments[0]).searches
        return search.start


@pytest.fixture
def found(make_spec, make_workload):
    span = LoadRange(1, 8)
    return Study(make_spec, replace(make_workload(concurrency=span.steps), repeats=3, find=span))


def test_the_first_server_begins_at_the_least_load(found):
    assert found.start is None


def test_later_ones_begin_at_the_best_so_far(found):
    found.measured(0, {2: 0.1, 4: 0.5, 8: 3.0}, Completed())
    assert found.start == 4
    found.measured(1, {1: 0.1, 2: 3.0}, Completed())
    assert found.start == 4


def test_a_level_whose_requests_failed_is_no_start(found):
    found.measured(0, {2: 0.1, 4: None}, Completed())
    assert found.start == 2


@pytest.mark.parametrize("outcome", [CRASHED])
def test_what_did_not_come_to_its_end_says_nothing(found, outcome):
    found.measured(0, {2: 0.1}, outcome)
    assert found.start is None


def test_where_no_load_keeps_the_limits_there_is_no_start(found):
    found.measured(0, {1: 3.0}, Completed())
    assert found.start is None


def test_a_study_with_levels_of_its_own_has_nothing_to_find(make_spec, make_workload):
    study = Study(make_spec, make_workload(concurrency=(1, 2)))
    study.measured(0, {1: 0.1}, Completed())
    assert study.starts.plan_of(study.plan.experiments[0]) is None
