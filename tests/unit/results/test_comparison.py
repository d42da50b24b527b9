"""Two studies of the same experiments: what became of each, and when numbers are not compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from autotuner.cli.main import main
from autotuner.results.comparison import Comparison, WinnerChange, compare_studies
from autotuner.results.confidence.two_samples import Change
from autotuner.results.experiments import experiment_row
from autotuner.results.level_rows import level_result
from autotuner.results.levels import RequestRecord, RequestStatus
from autotuner.results.load import load_results
from autotuner.results.store import ResultStore
from autotuner.results.study_record import ExpectedExperiment, StudyRecord
from autotuner.spec.experiment import Attempt, Completed, Experiment, Failed, FailureKind, Phase
from autotuner.spec.judging import Judging, RequestSlo
from autotuner.spec.launching import (
    DockerSettings,
    LaunchSettings,
    Mount,
    OmeSettings,
    PodSettings,
)
from autotuner.spec.objective import Constraint, Direction, Objective, Over
from autotuner.spec.server import Footprint, Model, ServerConfig, Value
from autotuner.spec.workload import StopRule, Workload

START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
SPEED = Objective("speed", "output_throughput_tok_s", Direction.MAXIMIZE, over=Over.BEST)
CHAT = Workload("chat", "D(100,100)", (16,), StopRule(30.0))


@dataclass
class Study:
    """A study to be stored: seconds per request of each server of each experiment."""

    latencies_s: Mapping[str, Sequence[float]]
    name: str = "old"
    judging: Judging = field(default_factory=lambda: Judging(SPEED))
    workload: Workload = CHAT
    parts: Mapping[str, str] = field(default_factory=lambda: {"workloads": "w1"})
    facts: Mapping[str, object] = field(default_factory=dict)
    flags: Mapping[str, Value] = field(default_factory=dict)
    launch: LaunchSettings | None = None
    baseline: str | None = None
    simulated: bool = False

    def experiment(self, name: str) -> Experiment:
        server = ServerConfig(
            "vllm",
            Model("/m", "/m"),
            {"batch": name, **self.flags},
            launcher="process" if self.launch is None else self.launch.kind,
            launch=self.launch,
        )
        return Experiment(
            id=f"{self.name}{name}",
            index=0,
            parameters={"batch": name},
            server=server,
            workloads=(self.workload,),
            footprint=Footprint(gpus_per_node=1),
            is_baseline=name == self.baseline,
        )

    def store(self, folder: Path) -> Path:
        experiments = [self.experiment(name) for name in self.latencies_s]
        record = StudyRecord(
            study_id=f"{self.name}1",
            name=self.name,
            created_at=START,
            autotuner_version="0.1.0",
            judging=self.judging,
            parameters=(),
            experiments=tuple(
                ExpectedExperiment(
                    e.id,
                    e.label,
                    e.parameters,
                    e.levels,
                    parts=self.parts,
                    server=e.server,
                    footprint=e.footprint,
                    is_baseline=e.is_baseline,
                )
                for e in experiments
            ),
        )
        results = ResultStore.create(folder / self.name, record)
        for e, latencies in zip(experiments, self.latencies_s.values(), strict=True):
            for number, latency_s in enumerate(latencies, start=1):
                self.write(results, Attempt(record.study_id, e, number), latency_s)
        return folder / self.name

    def write(self, results: ResultStore, attempt: Attempt, latency_s: float) -> None:
        for level in attempt.experiment.levels if latency_s else ():
            records = [
                RequestRecord(
                    request_index=i,
                    status=RequestStatus.COMPLETED,
                    started_s=i * latency_s,
                    ttft_s=latency_s / 10,
                    e2e_latency_s=latency_s,
                    input_tokens=100,
                    output_tokens=10,
                )
                for i in range(5)
            ]
            results.write_level(
                attempt,
                level_result(
                    level,
                    records,
                    attempt=attempt,
                    started_at=START,
                    gpus=1,
                    failure=None,
                    simulated=self.simulated,
                ),
            )
        failed = Failed(FailureKind.SERVER_CRASHED, Phase.LOAD, "it crashed")
        facts = {
            "simulated": self.simulated,
            "engine_version": "0.9.0",
            "gpu_model": "H100",
            "started_at": START,
            **self.facts,
        }
        outcome = Completed() if latency_s else failed
        results.write_experiment(
            experiment_row(attempt, outcome, study=self.name, parameters=(), facts=facts)
        )


A, B = (1.0, 1.001, 0.999), (0.8, 0.801, 0.799)
OLD = Study({"a": A, "b": B})


def compared(tmp_path: Path, old: Study, new: Study) -> Comparison:
    new = replace(new, name="new")
    return compare_studies(load_results(old.store(tmp_path)), load_results(new.store(tmp_path)))


def changes(comparison: Comparison) -> dict[str, Change | None]:
    return {
        pair.label: pair.difference.change if pair.difference else None for pair in comparison.pairs
    }


def faster(latencies: Sequence[float], factor: float) -> tuple[float, ...]:
    return tuple(latency / factor for latency in latencies)


def test_each_experiment_is_compared_with_itself(tmp_path: Path) -> None:
    new = Study({"a": faster(A, 1.1), "b": faster(B, 0.9)})
    found = compared(tmp_path, OLD, new)
    assert changes(found) == {"batch=a": Change.BETTER, "batch=b": Change.WORSE}
    (a,) = (pair for pair in found.pairs if pair.label == "batch=a")
    assert a.difference is not None
    assert a.difference.fraction is not None
    assert a.difference.fraction.estimate == pytest.approx(0.1, abs=1e-3)


def test_what_did_not_change_is_the_same(tmp_path: Path) -> None:
    found = compared(tmp_path, OLD, OLD)
    assert set(changes(found).values()) == {Change.SAME}
    assert found.changed == ()
    assert found.winner is WinnerChange.KEPT


def test_without_a_repeat_there_is_not_enough_evidence(tmp_path: Path) -> None:
    found = compared(tmp_path, Study({"a": [1.0]}), Study({"a": [0.5]}))
    assert changes(found) == {"batch=a": Change.NOT_ENOUGH_EVIDENCE}
    assert found.noise is None


def test_experiments_of_one_study_only_are_named(tmp_path: Path) -> None:
    found = compared(tmp_path, Study({"a": A, "b": B}), Study({"b": B, "c": A}))
    assert found.only_before == ("batch=a",)
    assert found.only_after == ("batch=c",)
    assert list(changes(found)) == ["batch=b"]


def test_an_experiment_without_a_result_has_a_reason(tmp_path: Path) -> None:
    found = compared(tmp_path, OLD, Study({"a": A, "b": [0.0]}))
    assert changes(found)["batch=b"] is None
    assert found.pairs[1].problem.startswith("after: failed: server_crashed: it crashed")


def test_baselines_are_compared_whatever_their_point_is(tmp_path: Path) -> None:
    old = replace(OLD, baseline="a")
    new = Study({"defaults": faster(A, 1.2), "b": B}, baseline="defaults")
    found = compared(tmp_path, old, new)
    assert found.baseline is not None
    assert found.baseline.difference is not None
    assert found.baseline.difference.change is Change.BETTER


class TestWinner:
    def test_it_changes_when_another_one_certainly_wins(self, tmp_path: Path) -> None:
        found = compared(tmp_path, OLD, Study({"a": faster(A, 2), "b": B}))
        assert found.winner is WinnerChange.CHANGED

    def test_it_is_uncertain_while_the_old_one_may_be_as_good(self, tmp_path: Path) -> None:
        found = compared(tmp_path, OLD, Study({"a": faster(B, 1.001), "b": B}))
        assert found.winner is WinnerChange.UNCERTAIN

    def test_it_changes_when_the_old_one_fails(self, tmp_path: Path) -> None:
        assert compared(tmp_path, OLD, Study({"a": A, "b": [0]})).winner is WinnerChange.CHANGED

    def test_it_is_unknown_when_the_old_one_was_not_measured(self, tmp_path: Path) -> None:
        assert compared(tmp_path, OLD, Study({"a": A})).winner is WinnerChange.UNKNOWN


class TestWhatElseDiffers:
    def test_versions_and_hardware(self, tmp_path: Path) -> None:
        new = replace(OLD, facts={"engine_version": "0.10.0", "gpu_model": "H200"})
        found = compared(tmp_path, OLD, new)
        assert [str(change) for change in found.changed] == [
            "engine version: 0.9.0 -> 0.10.0",
            "gpu model: H100 -> H200",
        ]
        assert found.refused == ()

    def test_limits_and_flags_that_are_no_parameters(self, tmp_path: Path) -> None:
        limit = Constraint("ttft_s", "p99", 0.5)
        new = replace(OLD, judging=Judging(SPEED, (limit,)), flags={"eager": True})
        found = compared(tmp_path, OLD, new)
        assert [str(change) for change in found.changed] == [
            "limits: none -> ttft_s_p99 <= 0.5",
            "flag eager: not set -> true",
        ]

    def test_the_image_and_what_else_launchers_were_told(self, tmp_path: Path) -> None:
        docker = DockerSettings(image="vllm:1", shm_gib=8.0, daemon="unix:///a")
        old = replace(OLD, launch=docker, facts={"image_id": "sha256:1"})
        mounts = (Mount("/a", "/b"),)
        changed = replace(docker, image="vllm:2", mounts=mounts, daemon="unix:///b")
        new = replace(old, launch=changed, facts={"image_id": "sha256:2"})
        assert [str(change) for change in compared(tmp_path, old, new).changed] == [
            "image id: sha256:1 -> sha256:2",
            "image: vllm:1 -> vllm:2",
            "mounts: not set -> [{source: /a, target: /b, read_only: true}]",
        ]

    def test_another_launcher(self, tmp_path: Path) -> None:
        new = replace(OLD, launch=OmeSettings("llama", pod=PodSettings(image="vllm:1")))
        assert [str(change) for change in compared(tmp_path, OLD, new).changed] == [
            "launcher: process -> ome",
            "image: not set -> vllm:1",
        ]

    def test_a_secret_is_not_told(self, tmp_path: Path) -> None:
        new = replace(OLD, flags={"api-key": "sk-123"})
        assert "sk-123" not in str(compared(tmp_path, OLD, new).changed)


class TestRefusals:
    def refused(self, tmp_path: Path, new: Study, old: Study = OLD) -> str:
        found = compared(tmp_path, old, new)
        assert found.pairs == ()
        assert found.winner is WinnerChange.UNKNOWN
        (reason,) = found.refused
        return reason

    def test_another_objective(self, tmp_path: Path) -> None:
        latency = Objective("fast", "ttft_s", Direction.MINIMIZE, "p99", over=Over.WORST)
        reason = self.refused(tmp_path, replace(OLD, judging=Judging(latency)))
        assert "maximize output_throughput_tok_s" in reason
        assert "minimize ttft_s_p99" in reason

    def test_another_name_of_the_objective_is_no_other_objective(self, tmp_path: Path) -> None:
        new = replace(OLD, judging=Judging(replace(SPEED, name="throughput")))
        assert compared(tmp_path, OLD, new).refused == ()

    def test_another_scenario_or_concurrency(self, tmp_path: Path) -> None:
        new = replace(OLD, workload=replace(CHAT, concurrency=(32,)))
        assert self.refused(tmp_path, new) == (
            "the workloads differ; only before: chat D(100,100) c=16; "
            "only after: chat D(100,100) c=32"
        )

    def test_another_stop_rule(self, tmp_path: Path) -> None:
        reason = self.refused(tmp_path, replace(OLD, parts={"workloads": "w2"}))
        assert "stop rule" in reason

    def test_another_price_where_it_decides(self, tmp_path: Path) -> None:
        per_dollar = Objective("cheap", "output_tokens_per_usd", Direction.MAXIMIZE, over=Over.BEST)
        old = replace(OLD, judging=Judging(per_dollar, usd_per_gpu_hour=2.0))
        new = replace(OLD, judging=Judging(per_dollar, usd_per_gpu_hour=3.0))
        assert "prices differ" in self.refused(tmp_path, new, old)

    def test_other_goodput_limits_where_they_decide(self, tmp_path: Path) -> None:
        goodput = Objective("g", "goodput_requests_per_s", Direction.MAXIMIZE, over=Over.BEST)
        old = replace(OLD, judging=Judging(goodput, request_slos=(RequestSlo("ttft_s", 0.5),)))
        new = replace(OLD, judging=Judging(goodput, request_slos=(RequestSlo("ttft_s", 0.2),)))
        assert "its limits differ" in self.refused(tmp_path, new, old)


class TestCommand:
    def folders(self, tmp_path: Path, new: Study, old: Study = OLD) -> list[str]:
        return [str(old.store(tmp_path)), str(replace(new, name="new").store(tmp_path))]

    def test_it_prints_what_got_better_and_what_got_worse(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        old = replace(OLD, baseline="a")
        new = Study(
            {"a": faster(A, 1.1), "b": faster(B, 0.9), "c": A},
            facts={"engine_version": "0.10.0"},
            baseline="a",
        )
        assert main(["compare", *self.folders(tmp_path, new, old)]) == 0
        text = capsys.readouterr().out
        assert "engine version: 0.9.0 -> 0.10.0" in text
        assert "baseline: better, +10.0 % (" in text
        assert "worse" in text
        assert "only after: batch=c" in text
        assert "before: winner: batch=b" in text
        assert "SIMULATED" not in text

    def test_a_simulated_study_is_marked(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        new = replace(OLD, simulated=True)
        assert main(["compare", *self.folders(tmp_path, new)]) == 0
        text = capsys.readouterr().out
        assert "SIMULATED" in text
        assert "simulated: false -> true" in text

    def test_json_has_no_infinities_and_the_same_verdicts(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        new = Study({"a": faster(A, 1.1), "b": [0]})
        assert main(["compare", *self.folders(tmp_path, new), "--json"]) == 0
        content = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
        a, b = content["experiments"]
        assert (a["label"], a["verdict"]) == ("batch=a", "better")
        assert a["change"]["estimate"] == pytest.approx(0.1, abs=1e-3)
        assert b["verdict"] is None
        assert "it crashed" in b["reason"]
        assert content["winner"] == "changed"

    @pytest.mark.parametrize("form", [[], ["--json"]])
    def test_a_refusal_says_why_and_exits_with_1(
        self, form: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        new = replace(OLD, workload=replace(CHAT, scenario="D(1,1)"))
        assert main(["compare", *self.folders(tmp_path, new), *form]) == 1
        assert "cannot be compared: the workloads differ" in capsys.readouterr().err
