"""Studies of some healthy experiments and a faulty one, as files, in process and by command."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faults.processes import MARK, ProcessWatch, eventually

import autotuner
from autotuner.driver.progress import AttemptFinished, AttemptStarted, StudyEvent
from autotuner.execution.base import Executor
from autotuner.spec.experiment import Attempt

__all__ = [
    "FAULTY",
    "MARK_COLUMN",
    "MARK_PARAMETER",
    "Course",
    "FaultStudy",
    "carry_out",
    "command_line",
    "drive_to_first_level",
    "is_marked",
    "output_of",
    "start_driver",
    "workload",
    "write_study",
]

FAULTY = "faulty"
PATIENCE_S = 120.0
"""For a first level, which comes within seconds."""
MARK_PARAMETER = f"env.{MARK}"
MARK_COLUMN = f"param_env_{MARK}"
Point = Mapping[str, object]


@dataclass(frozen=True)
class FaultStudy:
    """A study file, and which of its experiments is the faulty one."""

    path: Path
    output: Path
    mark: str

    @property
    def faulty_mark(self) -> str:
        return f"{self.mark}-{FAULTY}"


def write_study(
    folder: Path,
    watch: ProcessWatch,
    *,
    faulty: Point,
    healthy: int = 2,
    changes: Mapping[str, object] | None = None,
) -> FaultStudy:
    """Write a study whose first experiment has the fault.

    Args:
        faulty: parameters of the faulty experiment; the others go without them.
        changes: keys of the study file to set or, within a mapping, to add.
    """
    points = [{"max-num-seqs": 4, **faulty, MARK_PARAMETER: watch.label(FAULTY)}]
    without = {name: "" if name.startswith("env.") else None for name in faulty}
    for number in range(healthy):
        label = watch.label(f"healthy-{number}")
        points.append({**without, "max-num-seqs": 8 + number, MARK_PARAMETER: label})
    content: dict[str, object] = {
        "study": "faults",
        "engine": {"name": "sim", "flags": {"time-scale": 0.05}},
        "model": str(folder / "model"),
        "parameters": {"case": {"type": "tied", "values": points}},
        "workloads": [workload()],
        "objective": {"name": "maximize_throughput", "over": "best"},
        # One attempt of each, in this order, but for what the faults make of them.
        "baseline": False,
        "finalist_servers": 1,
        "order": "plan",
        "resources": {"gpus": 0},
        "timeouts": {"stop_s": 2.0, "level_grace_s": 10.0},
        "bench": "closed-loop",
        "output": str(folder / "results"),
    }
    for key, value in (changes or {}).items():
        old = content.get(key)
        merged = isinstance(old, dict) and isinstance(value, dict)
        content[key] = {**old, **value} if merged else value  # type: ignore[dict-item]
    path = folder / "study.json"
    path.write_text(json.dumps(content, indent=1))
    return FaultStudy(path, Path(str(content["output"])), watch.mark)


def workload(
    concurrency: Sequence[int] = (1, 2), *, seconds: float = 60.0, requests: int | None = 3
) -> dict[str, object]:
    """Two requests come before the first level: one that counts tokens, and one warm-up."""
    stop = {"seconds": seconds} | ({"requests": requests} if requests else {})
    return {
        "name": "chat",
        "scenario": "D(16,8)",
        "concurrency": list(concurrency),
        "stop": stop,
        "warmup_requests": 1,
    }


@dataclass
class Course:
    """What happened when a study was run in this process."""

    events: list[tuple[float, StudyEvent]] = field(default_factory=list)
    in_time: bool = True

    def durations(self, mark: str) -> list[float]:
        """Seconds from start to end of each attempt of the experiment with this mark."""
        started: dict[str, float] = {}
        durations = []
        for at, event in self.events:
            if not isinstance(event, AttemptStarted | AttemptFinished):
                continue
            if not is_marked(event.attempt, mark):
                continue
            if isinstance(event, AttemptStarted):
                started[event.attempt.id] = at
            else:
                durations.append(at - started[event.attempt.id])
        return durations


def is_marked(attempt: Attempt, mark: str) -> bool:
    return attempt.experiment.parameters.get(MARK_PARAMETER) == mark


def carry_out(
    study: FaultStudy,
    executor: Executor,
    *,
    limit_s: float,
    on_event: Callable[[StudyEvent], None] = lambda event: None,
) -> Course:
    """Run the study here; after ``limit_s`` it is interrupted, and was not in time."""
    course = Course()
    interrupt = threading.Event()

    def note(event: StudyEvent) -> None:
        course.events.append((time.time(), event))
        on_event(event)

    timer = threading.Timer(limit_s, interrupt.set)
    timer.start()
    try:
        spec = autotuner.StudySpec.from_file(study.path)
        autotuner.run(spec, executor=executor, on_event=note, interrupt=interrupt)
    finally:
        timer.cancel()
        timer.join()
    course.in_time = not interrupt.is_set()
    return course


def command_line(study: FaultStudy, *words: str) -> list[str]:
    """What a user types to run the study."""
    return [sys.executable, "-m", "autotuner.cli.main", "run", str(study.path), *words]


def start_driver(
    study: FaultStudy, *words: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Run the study's command in a session of its own, its output in a file beside it."""
    with study.path.with_suffix(".out").open("a") as output:
        return subprocess.Popen(
            command_line(study, *words),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )


def output_of(study: FaultStudy) -> str:
    """The end of what the study's command has printed."""
    return study.path.with_suffix(".out").read_text(errors="replace")[-3000:]


def drive_to_first_level(study: FaultStudy) -> subprocess.Popen[str]:
    """Run the study's command, and return when a level is on disk."""
    driver = start_driver(study)
    levels = study.output / "levels"

    def begun() -> bool:
        assert driver.poll() is None, output_of(study)
        return any(levels.glob("[!.]*.parquet"))

    assert eventually(begun, PATIENCE_S)
    return driver
