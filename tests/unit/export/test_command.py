"""`autotuner export` on a stored study."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from autotuner.cli.main import main
from autotuner.results.experiments import experiment_row
from autotuner.results.level_rows import level_result
from autotuner.results.levels import RequestRecord, RequestStatus
from autotuner.results.store import ResultStore
from autotuner.results.study_record import ExpectedExperiment, StudyRecord
from autotuner.spec.experiment import Attempt, Completed, Experiment, Failed, FailureKind, Phase
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Direction, Objective, Over
from autotuner.spec.server import Footprint, Model, ServerConfig
from autotuner.spec.workload import StopRule, Workload

START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
CHAT = Workload("chat", "D(100,100)", (1, 16), StopRule(30.0))
OBJECTIVE = Objective("speed", "output_throughput_tok_s", Direction.MAXIMIZE, over=Over.BEST)


def experiment(id_: str, number: int) -> Experiment:
    return Experiment(
        id=id_,
        index=0,
        parameters={"max-num-seqs": number},
        server=ServerConfig(
            "vllm", Model("/models/tiny", "/models/tiny"), {"max-num-seqs": number}
        ),
        workloads=(CHAT,),
        footprint=Footprint(gpus_per_node=1),
    )


EXPERIMENTS = (experiment("abc1", 8), experiment("abd2", 16), experiment("fff3", 32))
Store = Callable[..., Path]


@pytest.fixture
def stored(tmp_path: Path) -> Store:
    """Store latencies per experiment and server; an experiment without any failed."""

    def store(latencies_s: dict[str, Sequence[float]]) -> Path:
        record = StudyRecord(
            study_id="study1",
            name="tiny",
            created_at=START,
            autotuner_version="0.1.0",
            judging=Judging(OBJECTIVE),
            parameters=(),
            experiments=tuple(
                ExpectedExperiment(
                    e.id, e.label, e.parameters, e.levels, server=e.server, footprint=e.footprint
                )
                for e in EXPERIMENTS
            ),
        )
        results = ResultStore.create(tmp_path / "results", record)
        for e in EXPERIMENTS:
            if e.id not in latencies_s:
                continue
            for number, latency_s in enumerate(latencies_s[e.id] or [0.0], start=1):
                write(results, Attempt("study1", e, number), latency_s)
        return tmp_path / "results"

    return store


def write(results: ResultStore, attempt: Attempt, latency_s: float) -> None:
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
            for i in range(20)
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
                simulated=False,
            ),
        )
    failed = Failed(FailureKind.OUT_OF_MEMORY_AT_LOAD, Phase.SERVER_START, "no memory is left")
    results.write_experiment(
        experiment_row(
            attempt,
            Completed() if latency_s else failed,
            study="tiny",
            parameters=(),
            facts={"simulated": False, "engine_version": "0.10.1", "started_at": START},
        )
    )


SURE = {"abc1": [1.0, 1.01, 1.0], "abd2": [0.5, 0.505, 0.5], "fff3": []}


def test_the_winner_is_exported(stored: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(stored(SURE)), "--format", "shell"]) == 0
    output = capsys.readouterr()
    assert "exec vllm serve /models/tiny" in output.out
    assert "--max-num-seqs 16" in output.out
    assert "# verdict: winner: max-num-seqs=16" in output.out
    assert output.err == ""


@pytest.mark.parametrize("format_", ["shell", "docker", "compose", "kubernetes", "ome", "json"])
def test_every_format_can_be_written_to_a_file(
    format_: str, stored: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    folder = str(stored(SURE))
    assert main(["export", folder, "--format", format_, "--output", str(target)]) == 0
    assert capsys.readouterr().out == ""
    assert "max-num-seqs" in target.read_text()
    assert (target.stat().st_mode & 0o111 != 0) == (format_ in ("shell", "docker"))


def test_the_numbers_of_the_scored_level_come_with_bounds(
    stored: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(stored(SURE)), "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    metrics = content["result"]["metrics"]
    speed = metrics["output_throughput_tok_s"]
    assert speed["bounds"] == "between fresh servers"
    assert speed["low"] < speed["value"] < speed["high"]
    latency = metrics["ttft_s_mean"]
    assert latency["bounds"] == "within the measurement"
    assert latency["low"] <= latency["value"] <= latency["high"]
    # 60 requests fix no upper bound of a 99th percentile.
    assert metrics["ttft_s_p99"]["high"] is None
    assert content["provenance"]["attempts"] == ["abd2-a1", "abd2-a2", "abd2-a3"]


def test_what_is_not_sure_is_said_on_both_ways_out(
    stored: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stored({"abc1": [1.0], "abd2": [0.99], "fff3": [2.0]})
    assert main(["export", str(folder), "--format", "shell"]) == 0
    output = capsys.readouterr()
    assert "NOT ENOUGH EVIDENCE" in output.err
    assert "# NOT ENOUGH EVIDENCE" in output.out


def test_a_running_study_says_that_it_is_not_finished(
    stored: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stored({"abc1": [1.0, 1.0], "abd2": [0.5, 0.5]})
    assert main(["export", str(folder), "--format", "shell"]) == 0
    assert "# NOT FINISHED: 1 experiments" in capsys.readouterr().out


def test_the_beginning_of_an_id_names_an_experiment(
    stored: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(stored(SURE))
    assert main(["export", folder, "--format", "shell", "--experiment", "abc"]) == 0
    output = capsys.readouterr().out
    assert "--max-num-seqs 8" in output
    assert "# NOT THE BEST: rank 2; the study's best is abd2" in output


@pytest.mark.parametrize(
    ("wanted", "message"),
    [("ab", "several begin so: abc1, abd2"), ("x", "no experiment's id begins so")],
)
def test_an_id_that_names_no_single_experiment_is_refused(
    wanted: str, message: str, stored: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(stored(SURE)), "--format", "shell", "--experiment", wanted]
    assert main(arguments) == 1
    assert message in capsys.readouterr().err


def test_an_infeasible_experiment_is_exported_only_by_name(
    stored: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(stored({"abc1": [], "abd2": [], "fff3": []}))
    assert main(["export", folder, "--format", "shell"]) == 1
    assert "no feasible experiment" in capsys.readouterr().err
    assert main(["export", folder, "--format", "shell", "--experiment", "fff3"]) == 0
    assert "# INFEASIBLE: failed: out_of_memory_at_load" in capsys.readouterr().out


def test_a_study_without_a_measurement_has_nothing_to_export(
    stored: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(stored({})), "--format", "shell"]) == 1
    assert "nothing has been measured" in capsys.readouterr().err


def test_an_unknown_format_names_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["export", str(tmp_path), "--format", "helm"])
    assert exit_.value.code == 1
    assert "kubernetes" in capsys.readouterr().err
