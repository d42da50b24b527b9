from dataclasses import replace

from autotuner.search.base import Candidate
from autotuner.search.estimators.base import Estimate, Estimator, Misfit, Unknown
from autotuner.search.estimators.for_candidates import estimate_of, misfits
from autotuner.spec.experiment import Experiment
from autotuner.spec.server import Footprint, Model, ServerConfig
from autotuner.spec.workload import StopRule, Workload


class Repeats(Estimator):
    """Says what it was asked."""

    name = "repeats"

    def estimate(self, subject, load):
        if subject.gpu is None:
            return Unknown("no GPU")
        return Estimate(load.input_tokens, load.output_tokens, load.concurrency, 0.1, 0.1, 0.1)

    def misfit(self, subject):
        large = subject.flags.get("tensor-parallel-size", 1) == 1
        return Misfit(f"too large for a {subject.gpu}") if large else None


def experiment(id_, tensor):
    flags = {"tensor-parallel-size": tensor}
    workloads = (
        Workload("short", "D(100,50)", (4,), StopRule(10)),
        Workload("long", "D(9000,70)", (8,), StopRule(10)),
    )
    server = ServerConfig("vllm", Model("m", "m"), flags)
    return Experiment(id_, 0, flags, server, workloads, Footprint(tensor))


def candidate(of):
    return Candidate(of.id, of.parameters, of.footprint.gpus, of.levels)


PLAN = (experiment("one", 1), experiment("two", 2))


def test_each_level_is_asked_with_the_tokens_of_its_workload():
    estimate = estimate_of(Repeats(), PLAN, "H100")
    short, long = PLAN[1].levels
    said = estimate(candidate(PLAN[1]), long)
    assert (said.ttft_s, said.tpot_s, said.output_throughput_tok_s) == (9000, 70, 8)
    assert estimate(candidate(PLAN[1]), replace(short, repeat=1)).ttft_s == 100


def test_what_is_unknown_is_none():
    estimate = estimate_of(Repeats(), PLAN)
    assert estimate(candidate(PLAN[0]), PLAN[0].levels[0]) is None


def test_those_that_cannot_fit_are_named_with_their_arithmetic():
    assert misfits(Repeats(), PLAN, "L4") == {"one": Misfit("too large for a L4")}
