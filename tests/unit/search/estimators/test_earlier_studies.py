"""Estimates from a study that has really been run, on servers of the sim engine."""

import json
from pathlib import Path

import pytest

from autotuner import StudySpec, plan, run
from autotuner.cli.main import main
from autotuner.errors import OutputError, PlanError
from autotuner.execution.local import LocalExecutor
from autotuner.results.load import load_results
from autotuner.results.store import ResultStore
from autotuner.search.estimators.base import Estimate, Load
from autotuner.search.estimators.earlier_studies import measured_in, read_earlier_results
from autotuner.study import record_of

STUDY = """
study: earlier
engine: {name: sim, flags: {time-scale: 0.05}}
model: sim-model
parameters:
  max-num-seqs: [1, 8]
  fault-oom-at-start: [false, true]
exclude: [{when: {max-num-seqs: 1, fault-oom-at-start: true}}]
workloads:
  - {name: chat, scenario: "D(20,10)", concurrency: [1, 8], stop: {seconds: 20, requests: 16}}
objective: {name: maximize_throughput, over: best}
baseline: false
finalist_servers: 1
order: plan
resources: {gpus: 0, cpus: 1}
bench: closed-loop
output: out
"""


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """Of three experiments, one of which has failed; each with two levels."""
    folder: Path = tmp_path_factory.mktemp("earlier")
    (folder / "study.yaml").write_text(STUDY)
    planned = plan(StudySpec.from_file(folder / "study.yaml"))
    with LocalExecutor(cpus=1) as executor:
        run(planned, executor=executor)
    return folder


def test_every_valid_level_of_a_study_is_a_measurement(earlier):
    measured = list(measured_in(load_results(earlier / "out")))
    loads = [row.load for row in measured]
    assert sorted(loads, key=lambda load: load.concurrency) == [
        *[Load(20, 10, 1)] * 2,
        *[Load(20, 10, 8)] * 2,
    ]
    assert {row.subject.flags["max-num-seqs"] for row in measured} == {1, 8}
    assert all(row.ttft_s > 0 and row.output_throughput_tok_s > 0 for row in measured)


def test_its_configurations_are_estimated_as_they_were_measured(earlier):
    estimator = read_earlier_results(str(earlier / "out"))
    for row in measured_in(load_results(earlier / "out")):
        said = estimator.estimate(row.subject, row.load)
        assert isinstance(said, Estimate)
        assert said.output_throughput_tok_s == pytest.approx(row.output_throughput_tok_s, rel=0.3)
        assert said.ttft_s == pytest.approx(row.ttft_s, rel=0.3)


def test_a_study_is_estimated_by_an_earlier_one_from_the_command_line(earlier, capsys):
    study = earlier / "study.yaml"
    assert main(["estimate", str(study), "--estimator", str(earlier / "out"), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert sorted(one["expected_rank"] for one in content["experiments"]) == [1, 2, 3]
    assert all(
        level["unknown"] is None for one in content["experiments"] for level in one["levels"]
    )


def test_a_study_without_a_measurement_is_refused(earlier, tmp_path):
    planned = plan(StudySpec.from_file(earlier / "study.yaml"))
    ResultStore.create(tmp_path / "begun", record_of(planned))
    with pytest.raises(PlanError, match="holds no measured level"):
        read_earlier_results(str(tmp_path / "begun"))


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(OutputError):
        read_earlier_results(str(tmp_path / "nothing"))
