"""Small studies to store, load and rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from s3_store.server import Bucket, serve

from autotuner.results import stop_request, uploads, writer_lease
from autotuner.results.experiments import experiment_row
from autotuner.results.level_rows import level_result
from autotuner.results.levels import LevelResult, RequestRecord, RequestStatus
from autotuner.results.parameter_columns import parameter_columns
from autotuner.results.store import ResultStore
from autotuner.results.study_record import ExpectedExperiment, StudyRecord
from autotuner.spec.experiment import Attempt, Completed, Experiment, Outcome
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Direction, Objective, Over
from autotuner.spec.server import Footprint, Model, ServerConfig
from autotuner.spec.study import Axis
from autotuner.spec.workload import Level, StopRule, Workload

START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)


def make_experiments(repeats: int = 1) -> tuple[Experiment, ...]:
    chat = Workload("chat", "D(100,100)", (1, 16), StopRule(30.0), repeats=repeats)
    return tuple(
        Experiment(
            id=f"exp{index}",
            index=index,
            parameters={"max-num-seqs": value},
            server=ServerConfig("sim", Model("/models/tiny", "/models/tiny"), {}),
            workloads=(chat,),
            footprint=Footprint(gpus_per_node=1),
        )
        for index, value in enumerate((8, 16, 32))
    )


@pytest.fixture
def experiments() -> tuple[Experiment, ...]:
    return make_experiments()


@pytest.fixture
def attempt(experiments: tuple[Experiment, ...]) -> Attempt:
    return Attempt("study1", experiments[0], 1)


@pytest.fixture
def level(experiments: tuple[Experiment, ...]) -> Level:
    return experiments[0].levels[0]


def make_study(experiments: Sequence[Experiment]) -> StudyRecord:
    axis = Axis("max-num-seqs", tuple({"max-num-seqs": n} for n in (8, 16, 32)))
    return StudyRecord(
        study_id="study1",
        name="tiny",
        created_at=START,
        autotuner_version="0.1.0",
        judging=Judging(
            Objective("throughput", "output_throughput_tok_s", Direction.MAXIMIZE, over=Over.WORST)
        ),
        parameters=parameter_columns([axis]),
        experiments=tuple(
            ExpectedExperiment(e.id, e.label, dict(e.parameters), e.levels) for e in experiments
        ),
    )


@pytest.fixture
def study(experiments: tuple[Experiment, ...]) -> StudyRecord:
    return make_study(experiments)


@pytest.fixture
def repeated() -> tuple[Experiment, ...]:
    """Experiments that measure each level three times on a server."""
    return make_experiments(repeats=3)


@pytest.fixture
def repeated_store(tmp_path: Path, repeated: tuple[Experiment, ...]) -> ResultStore:
    return ResultStore.create(tmp_path / "repeated", make_study(repeated))


@pytest.fixture
def store(tmp_path: Path, study: StudyRecord) -> ResultStore:
    return ResultStore.create(tmp_path / "results", study)


@pytest.fixture
def measure() -> Callable[..., LevelResult]:
    """Build a level in which every request takes ``latency_s`` and makes 10 tokens."""

    def build(
        attempt: Attempt,
        level: Level,
        *,
        latency_s: float = 1.0,
        completed: int = 4,
        failed: int = 0,
    ) -> LevelResult:
        records: list[RequestRecord] = [
            RequestRecord(
                request_index=i,
                status=RequestStatus.COMPLETED,
                started_s=i * latency_s,
                ttft_s=latency_s / 10,
                e2e_latency_s=latency_s,
                input_tokens=100,
                output_tokens=10,
            )
            for i in range(completed)
        ]
        records += [
            RequestRecord(
                request_index=completed + i,
                status=RequestStatus.FAILED,
                started_s=0.0,
                error_code=500,
                error_message="Internal Server Error",
            )
            for i in range(failed)
        ]
        return level_result(
            level,
            records,
            attempt=attempt,
            started_at=START,
            gpus=1,
            failure=None,
            simulated=False,
        )

    return build


@pytest.fixture
def write_attempt(
    measure: Callable[..., LevelResult],
) -> Callable[..., Attempt]:
    """Store an attempt's levels and, unless ``outcome`` is None, its row."""

    def write(
        store: ResultStore,
        experiment: Experiment,
        *,
        number: int = 1,
        latency_s: float = 1.0,
        levels: Sequence[Level] | None = None,
        outcome: Outcome | None = Completed(),  # noqa: B008
        **facts: object,
    ) -> Attempt:
        attempt = Attempt("study1", experiment, number)
        for level in experiment.levels if levels is None else levels:
            store.write_level(attempt, measure(attempt, level, latency_s=latency_s))
        if outcome is not None:
            row = experiment_row(
                attempt,
                outcome,
                study=store.study.name,
                parameters=store.study.parameters,
                facts={
                    "simulated": False,
                    "gpu_ids": ["0"],
                    "started_at": START + timedelta(minutes=number),
                    **facts,
                },
            )
            store.write_experiment(row)
        return attempt

    return write


@pytest.fixture(scope="module")
def s3_port() -> Iterator[int]:
    with serve() as port:
        yield port


@pytest.fixture
def bucket(s3_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test-only")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(writer_lease, "_SETTLE_S", 0.0)
    monkeypatch.setattr(writer_lease, "_POLL_S", 0.05)
    monkeypatch.setattr(uploads, "_LONGEST_PAUSE_S", 0.2)
    monkeypatch.setattr(stop_request, "_STORE_POLL_S", 0.05)
    return Bucket(s3_port)
