"""A study: the user's file as frozen values, every default filled in and every path absolute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from autotuner.spec.experiment import Timeouts
from autotuner.spec.judging import Judging
from autotuner.spec.launching import LaunchSettings
from autotuner.spec.searching import Searching
from autotuner.spec.server import CpuPlan, Model, Value, spelled
from autotuner.spec.workload import Workload

__all__ = [
    "ENVIRONMENT_PREFIX",
    "Axis",
    "BenchConfig",
    "BenchmarkJobSettings",
    "Condition",
    "EngineConfig",
    "Exclusion",
    "Operator",
    "ParameterRef",
    "Resources",
    "StudySource",
    "StudySpec",
    "UsedPreset",
]

ENVIRONMENT_PREFIX = "env."
"""A parameter of this prefix is an environment variable, e.g. ``env.OMP_NUM_THREADS``."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """The engine and what all experiments share of it."""

    name: str
    executable: str | None = None
    flags: Mapping[str, Value] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    version: str | None = None
    """Release of the engine, from which a container's image follows."""
    check_flags: bool = True
    """Whether the engine is asked, before the study starts, if it knows its flags."""


@dataclass(frozen=True, slots=True)
class BenchmarkJobSettings:
    """What OME's BenchmarkJob needs to know beyond the workload."""

    storage: str
    """URI that it writes its results to: ``pvc://[namespace:]claim/folder`` or ``s3://...``."""
    read_from: str | None = None
    """The same place as the nodes see it, a path or an URI of pyarrow; None: ``storage``."""
    image: str | None = None
    """Of genai-bench; None: OME's own."""
    reader_image: str = "busybox:1.36"
    """Of the pod that reads results from a claim."""
    gpu_type: str | None = None
    """One of those that OME knows: H100, A100, MI300, A10."""
    hub_secret: str | None = None
    """Secret with the hub's token, for the tokenizer."""


@dataclass(frozen=True, slots=True)
class BenchConfig:
    """The load generator."""

    name: str = "genai-bench"
    executable: str | None = None
    """Program on the node; None means the load generator's own search."""
    workers: int = 0
    """Processes that send requests beside the one that collects; 0: one process does both."""
    benchmark_job: BenchmarkJobSettings | None = None
    """Of the load generator ``ome-benchmarkjob``."""

    def content(self) -> dict[str, Any]:
        """What of it can change a measurement."""
        content = asdict(self)
        if self.benchmark_job is None:
            del content["benchmark_job"]
        return content


@dataclass(frozen=True, slots=True)
class Axis:
    """One dimension of the search space.

    A plain parameter has points of one entry each; tied parameters change together, so
    that each point sets several of them.
    """

    name: str
    points: tuple[Mapping[str, Value], ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for point in self.points for name in point))


class Operator(StrEnum):
    """How a condition compares a parameter with its operand."""

    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    ONE_OF = "one_of"
    LESS_THAN = "less_than"
    AT_MOST = "at_most"
    GREATER_THAN = "greater_than"
    AT_LEAST = "at_least"


@dataclass(frozen=True, slots=True)
class ParameterRef:
    """An operand that is another parameter's (or fixed flag's) value."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Condition:
    """``parameter operator operand``; false where either side is absent."""

    parameter: str
    operator: Operator
    operand: Value | tuple[Value, ...] | ParameterRef

    def __str__(self) -> str:
        """In words, e.g. ``max-num-seqs at most 8``."""
        operand = self.operand
        shown = spelled(operand)
        if isinstance(operand, tuple):
            shown = f"[{', '.join(map(spelled, operand))}]"
        return f"{self.parameter} {self.operator.value.replace('_', ' ')} {shown}"


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A combination is dropped from the plan when all conditions hold."""

    conditions: tuple[Condition, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class UsedPreset:
    """What a study took of a preset."""

    name: str
    """``ENGINE/GOAL``."""
    version: int
    goal: str
    axes: tuple[Axis, ...]
    left_out: Mapping[str, str]
    """Parameter of the preset -> why it was not taken."""
    notes: tuple[str, ...] = ()
    """What to know before the winner is used."""
    newest: bool = False
    """Whether the study names no version, and so got the newest."""

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Resources:
    """What each experiment reserves."""

    gpus: int | None = None
    """None: derived from the parallel sizes."""
    cpus: CpuPlan = field(default_factory=CpuPlan)
    """On each of its nodes."""
    gpus_per_node: int | None = None
    """An experiment of more GPUs spans as many nodes as it needs; None: none spans any."""
    gpu_type: str | None = None
    """GPU model of the nodes as Ray names it; None: any."""
    whole_nodes: bool = False
    """No other attempt shares a node with an experiment."""


@dataclass(frozen=True, slots=True)
class StudySource:
    """Where a study stands, for what is found wrong with it later."""

    path: str
    lines: Mapping[tuple[str | int, ...], int]
    """1-based line of a key, or of an item of a list, by its path from the top of the file."""

    def line(self, place: tuple[str | int, ...]) -> int | None:
        """Line of the innermost part of the path that the file holds."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place)


@dataclass(frozen=True, slots=True)
class StudySpec:
    """Everything a study file says. Build it with `StudySpec.from_file`."""

    name: str
    engine: EngineConfig
    model: Model
    axes: tuple[Axis, ...]
    workloads: tuple[Workload, ...]
    judging: Judging
    exclusions: tuple[Exclusion, ...] = ()
    """The file's own, then those of its presets."""
    presets: tuple[UsedPreset, ...] = ()
    launcher: str = "process"
    launch: LaunchSettings | None = None
    """Settings of the launcher, the image filled in; None for one that needs none."""
    bench: BenchConfig = field(default_factory=BenchConfig)
    resources: Resources = field(default_factory=Resources)
    timeouts: Timeouts = field(default_factory=Timeouts)
    max_attempts: int = 2
    """Attempts per experiment, the first included; how it failed decides about the second."""
    give_up_after: int = 3
    """So many experiments that fail alike stop the study; 0: none do."""
    max_gpus: int | None = None
    """So many GPUs, at most, are held at once by all attempts together; None: no limit."""
    baseline: Mapping[str, Value] | None = field(default_factory=dict)
    """The point that all others are compared with; empty: the engine's defaults. None: none."""
    searching: Searching = field(default_factory=Searching)
    """Which of the space's experiments are measured, and when that is enough."""
    order_seed: int | None = 0
    """Experiments and levels run in an order drawn with this seed; None: in plan order."""
    warnings: tuple[str, ...] = ()
    """What the reader of the file changed or left out, one sentence each."""
    output: Path | str = Path("results")
    """Folder that will hold the results, absolute; text: an address such as ``s3://b/prefix``."""
    description: str = ""
    source: StudySource | None = field(default=None, compare=False)
    """None for one that was made in Python."""

    @staticmethod
    def from_file(
        path: str | Path, launcher: str | None = None, image: str | None = None
    ) -> StudySpec:
        """Read a YAML or JSON study file, or a task file of the first autotuner.

        Args:
            launcher: The launcher, whatever the file says.
            image: The container's image, whatever the file says.

        Raises:
            StudyFileError: with every problem of the file, each with line, key, value and fix.
        """
        from autotuner.spec.seed_task.task_file import is_seed_task, read_task
        from autotuner.spec.source_lines import read_source
        from autotuner.spec.study_file import load_study
        from autotuner.spec.study_launching import Overrides

        overrides = Overrides(launcher, image)
        source = read_source(Path(path))
        if is_seed_task(source):
            return read_task(source, overrides)
        return load_study(Path(path), overrides)
