"""Deployments made by hand: any server, any verdict, without a study behind them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from autotuner.export.deployment import Deployment, Options, deployment_of
from autotuner.export.metrics import Metric
from autotuner.export.selection import Selection
from autotuner.results.confidence.intervals import Interval
from autotuner.results.confidence.verdict import Verdict, VerdictKind
from autotuner.results.score import EntryStatus, Ranking, RankingEntry, Score
from autotuner.results.study_record import ExpectedExperiment, StudyRecord
from autotuner.spec.experiment import Experiment
from autotuner.spec.judging import Judging
from autotuner.spec.launching import LaunchSettings
from autotuner.spec.objective import Direction, Objective, Over
from autotuner.spec.server import Footprint, Model, ServerConfig, Value
from autotuner.spec.workload import Level

OBJECTIVE = Objective("speed", "output_throughput_tok_s", Direction.MAXIMIZE, over=Over.BEST)
LEVEL = Level("chat", "D(100,100)", 16)
CUSTOM = ("serve-it", "--on", "{host}:{port}", "--as", "{served_name}", "{model}")


def verdict_of(kind: VerdictKind, leader: str | None, others: Sequence[str]) -> Verdict:
    tied, undecided = kind is VerdictKind.TIED, kind is VerdictKind.NOT_ENOUGH_EVIDENCE
    return Verdict(
        kind=kind,
        leader=leader,
        tied_with=tuple(others) if tied else (),
        undecided=tuple(others) if undecided else (),
        repeats_needed=3 if undecided else None,
        advantages={other: Interval(0.04, 0.02, 0.06) for other in others},
        noise_cv=0.01,
        degrees_of_freedom=4.0,
        confidence=0.95,
        minimal_effect=0.02,
    )


def selection_of(
    server: ServerConfig | None,
    *,
    kind: VerdictKind = VerdictKind.WINNER,
    status: EntryStatus = EntryStatus.FEASIBLE,
    reason: str = "",
    parameters: Mapping[str, Value] | None = None,
    wanted: str = "aaa1",
    versions: Sequence[str] = ("0.10.1",),
    gpus: int = 1,
    nodes: int = 1,
    simulated: bool = False,
    name: str = "tiny",
) -> Selection:
    """The experiment ``aaa1`` leads a study of two; the other is ``bbb2``."""
    footprint = Footprint(gpus_per_node=gpus, nodes=nodes)
    points: dict[str, Mapping[str, Value]] = {
        "aaa1": {"max-num-seqs": 64} if parameters is None else parameters,
        "bbb2": {"max-num-seqs": 8},
    }
    experiments = tuple(
        ExpectedExperiment(
            id_,
            # As plans label them.
            Experiment(id_, 0, point, server, (), footprint).label,  # type: ignore[arg-type]
            point,
            (LEVEL,),
            server=server,
            footprint=footprint,
        )
        for id_, point in points.items()
    )
    feasible = status is EntryStatus.FEASIBLE
    scores = {
        "aaa1": Score(1234.5 if feasible else None, "tok/s", feasible, reason, str(LEVEL)),
        "bbb2": Score(1000.0, "tok/s", True, "", str(LEVEL)),
    }
    entries = tuple(
        RankingEntry(
            rank=index if e.id != "aaa1" or feasible else None,
            experiment_id=e.id,
            label=e.label,
            score=scores[e.id],
            status=status if e.id == "aaa1" else EntryStatus.FEASIBLE,
        )
        for index, e in enumerate(experiments, start=1)
    )
    ranking = Ranking(
        objective="speed",
        direction=Direction.MAXIMIZE,
        column="output_throughput_tok_s",
        unit="tok/s",
        entries=entries,
        caveat="",
        verdict=verdict_of(kind, "aaa1" if feasible else "bbb2", ["bbb2"] if feasible else []),
    )
    study = StudyRecord(
        study_id="study1",
        name=name,
        created_at=datetime(2025, 3, 1, 12, 0, tzinfo=UTC),
        autotuner_version="0.1.0",
        judging=Judging(OBJECTIVE),
        parameters=(),
        experiments=experiments,
    )
    rows = [
        {
            "experiment_id": wanted,
            "attempt_id": f"{wanted}-a{number}",
            "engine_version": version,
            "gpu_model": "H100",
            "simulated": simulated,
        }
        for number, version in enumerate(versions, start=1)
    ]
    return Selection(
        study=study,
        experiment=next(e for e in experiments if e.id == wanted),
        entry=next(entry for entry in entries if entry.experiment_id == wanted),
        ranking=ranking,
        rows=rows,
        metrics={"output_throughput_tok_s": Metric(1234.5, 1200.0, 1270.0, "servers")},
    )


def server_of(
    engine: str = "vllm",
    *,
    model: str = "Qwen/Qwen3-8B",
    flags: Mapping[str, Value] | None = None,
    environment: Mapping[str, str] | None = None,
    executable: str | None = None,
    launch: LaunchSettings | None = None,
) -> ServerConfig:
    return ServerConfig(
        engine,
        Model(model, model),
        {"max-num-seqs": 64, "enforce-eager": True} if flags is None else flags,
        environment or {},
        executable,
        command=CUSTOM if engine == "custom" else (),
        launcher="process" if launch is None else launch.kind,
        launch=launch,
    )


def make(
    engine: str = "vllm",
    *,
    options: Options | None = None,
    model: str = "Qwen/Qwen3-8B",
    flags: Mapping[str, Value] | None = None,
    environment: Mapping[str, str] | None = None,
    executable: str | None = None,
    launch: LaunchSettings | None = None,
    **of_selection: object,
) -> Deployment:
    server = server_of(
        engine,
        model=model,
        flags=flags,
        environment=environment,
        executable=executable,
        launch=launch,
    )
    selection = selection_of(server, **of_selection)  # type: ignore[arg-type]
    return deployment_of(selection, options or Options())


@pytest.fixture(scope="session")
def deployment() -> Callable[..., Deployment]:
    """Build a deployment; ``options`` are the user's, the rest is the server and its study."""
    return make


@pytest.fixture
def selection() -> Callable[..., Selection]:
    return lambda **changes: selection_of(server_of(), **changes)


def made_hostile(text: str) -> Deployment:
    """The text wherever a value of a study can stand."""
    return make(
        model=f"/models/{text}",
        flags={
            "max-num-seqs": 64,
            "enforce-eager": True,
            "disable-log": False,
            "speculative-config": text,
            "rope-scaling": '{"type": "yarn", "factor": 4.0}',
        },
        environment={"NOTE": text, "HF_TOKEN": "***"},
        parameters={"speculative-config": text},
        options=Options(served_name=text or "tiny", image="registry.example:5000/vllm:v1"),
        name=f"study {text}",
    )


@pytest.fixture(scope="session")
def hostile_deployment() -> Callable[[str], Deployment]:
    return made_hostile


@pytest.fixture(
    params=[
        "a b",
        "it's",
        'say "hi"',
        "$(touch /tmp/pwned)",
        "`id`",
        "${HOME} $HOME $$ $(HOME) $$(HOME)",
        "two\nlines",
        "carriage\rreturn",
        "next\x85line\u2028separator",
        "a,b=c",
        "back\\slash",
        "# no comment",
        "é 模型",
        "*&!|>%@",
        " leading and trailing ",
        "-dash",
    ]
)
def hostile(request: pytest.FixtureRequest) -> str:
    """A value that means something else where it is not quoted."""
    return str(request.param)


ECHO = """#!{python}
import json, os, sys
print(json.dumps([sys.argv, dict(os.environ)]))
"""


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., tuple[list[str], dict[str, str]]]:
    """Run a script whose ``program`` is a fake: returns the arguments and variables it got."""

    def run(
        text: str, program: str, variables: Mapping[str, str] | None = None
    ) -> tuple[list[str], dict[str, str]]:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        fake = folder / program
        fake.write_text(ECHO.format(python=sys.executable))
        fake.chmod(0o755)
        script = tmp_path / "script.sh"
        script.write_text(text)
        subprocess.run(["/bin/bash", "-n", script], check=True)
        environment = {"PATH": f"{folder}:/usr/bin:/bin", "HOME": "/home/me", **(variables or {})}
        done = subprocess.run(
            ["/bin/bash", script],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        argv, environ = json.loads(done.stdout)
        return argv[1:], environ

    return run
