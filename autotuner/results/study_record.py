"""``study.json``: what a results folder must say about its study to be read on its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache

from pydantic import TypeAdapter

from autotuner.errors import OutputError
from autotuner.results.parameter_columns import ParameterColumn, parameter_columns
from autotuner.results.schema import READABLE_VERSIONS, SCHEMA_VERSION
from autotuner.spec.experiment import Experiment, content_id
from autotuner.spec.judging import Judging
from autotuner.spec.server import Footprint, ServerConfig, Value
from autotuner.spec.study import StudySpec
from autotuner.spec.workload import Level

__all__ = ["ExpectedExperiment", "SearchedSpace", "StudyRecord"]


@dataclass(frozen=True, slots=True)
class ExpectedExperiment:
    """An experiment of the plan, as far as its results need it."""

    id: str
    label: str
    parameters: Mapping[str, Value]
    levels: tuple[Level, ...]
    """Every level that may be measured, each repeat by itself; see `owed`."""
    launch_command: str = ""
    """Shell line that starts this server by hand, secrets masked."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Hashes of what the id is a hash of: server, workloads, resources, bench."""
    server: ServerConfig | None = None
    """Secrets masked; None only where a test has no use for it."""
    footprint: Footprint | None = None
    is_baseline: bool = False
    why: str = ""
    """Why a search has asked for it; empty where everything is measured."""
    found: tuple[str, ...] = ()
    """Workloads whose load is to be found: of their levels, those that a server was measured at
    count, and the others are not missing."""

    @property
    def owed(self) -> tuple[Level, ...]:
        """Levels of which each attempt must have a row."""
        return tuple(level for level in self.levels if level.workload not in self.found)


@dataclass(frozen=True, slots=True)
class SearchedSpace:
    """What a study chooses from, where it does not measure everything."""

    strategy: str
    candidates: int
    """Experiments that may be asked for."""
    combinations: int
    """Points of the space that the candidates were drawn from; else as many as there are
    candidates."""
    values: Mapping[str, tuple[Value, ...]]
    """Parameter -> all values that it has in the space."""

    def sentence(self, measured: int, stopped: str | None) -> str:
        """How much of the space was measured, and why no more.

        Args:
            measured: Candidates, failed ones included.
            stopped: Why the search has ended; None where it has not.
        """
        of = f"{measured:,} of {self.candidates:,} candidates"
        if self.combinations > self.candidates:
            of += f" (drawn from {self.combinations:,} combinations)"
        end = "the search has not ended" if stopped is None else f"the search ended: {stopped}"
        return f"{of} were measured, chosen by {self.strategy}; {end}"


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """The study's identity, its plan, and how its results are judged."""

    study_id: str
    """Content hash of the plan; equal id, same experiments."""
    name: str
    created_at: datetime
    """With a time zone."""
    autotuner_version: str
    judging: Judging
    parameters: tuple[ParameterColumn, ...]
    experiments: tuple[ExpectedExperiment, ...]
    """In plan order."""
    description: str = ""
    order_seed: int | None = None
    """Of the random order of experiments and levels; None: they ran in plan order."""
    presets: tuple[str, ...] = ()
    """Those that the space was made of, each with its version."""
    search: SearchedSpace | None = None
    """None: everything is measured. Else ``experiments`` are, in the plan, all candidates; as read
    from a results folder those that were asked for."""

    @staticmethod
    def of(
        spec: StudySpec,
        experiments: Sequence[Experiment],
        *,
        launch_commands: Mapping[str, str],
        study_id: str,
        created_at: datetime,
        autotuner_version: str,
        servers: Mapping[str, ServerConfig] | None = None,
        combinations: int = 0,
    ) -> StudyRecord:
        """The record of a planned study.

        Args:
            launch_commands: Experiment id -> shell line; may lack some.
            servers: Experiment id -> its server, secrets masked; may lack some.
            combinations: Points of a space that the experiments were drawn from; 0: they are all
                that the study leaves of it.

        Raises:
            PlanError: where two parameters would share a result column.
        """
        parts = _Parts(spec)
        return StudyRecord(
            study_id=study_id,
            name=spec.name,
            created_at=created_at,
            autotuner_version=autotuner_version,
            judging=spec.judging,
            parameters=parameter_columns(spec.axes),
            experiments=tuple(
                ExpectedExperiment(
                    e.id,
                    e.label,
                    dict(e.parameters),
                    parts.levels_of(e),
                    launch_commands.get(e.id, ""),
                    parts.of(e),
                    (servers or {}).get(e.id),
                    e.footprint,
                    e.is_baseline,
                    found=tuple(w.name for w in e.workloads if w.find is not None),
                )
                for e in experiments
            ),
            description=spec.description,
            order_seed=spec.order_seed,
            presets=tuple(map(str, spec.presets)),
            search=_searched(spec, len(experiments), combinations),
        )

    @property
    def baseline(self) -> ExpectedExperiment | None:
        """The experiment that the others are compared with, if the study has one."""
        return next((e for e in self.experiments if e.is_baseline), None)

    def to_json(self) -> str:
        """The record; without the candidates of a search, of which there may be thousands."""
        written = self if self.search is None else replace(self, experiments=())
        content = {"schema_version": SCHEMA_VERSION, **_adapter().dump_python(written, mode="json")}
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    @staticmethod
    def from_json(text: str, source: str) -> StudyRecord:
        """Read what `to_json` wrote.

        Raises:
            OutputError: naming ``source``, for other content or another schema.
        """
        try:
            content = json.loads(text)
            version = content.pop("schema_version")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OutputError(f"{source} is not a study record: {error!r}") from error
        if version not in READABLE_VERSIONS:
            known = " and ".join(map(str, READABLE_VERSIONS))
            raise OutputError(
                f"{source} has schema version {version}, this autotuner reads {known}; "
                "read it with the autotuner version that wrote it"
            )
        try:
            return _adapter().validate_python(content)
        except ValueError as error:
            raise OutputError(f"{source} is not a study record: {error!r}") from error


@cache
def _adapter() -> TypeAdapter[StudyRecord]:
    return TypeAdapter(StudyRecord)


def _searched(spec: StudySpec, candidates: int, combinations: int) -> SearchedSpace | None:
    searching = spec.searching
    if searching.measures_everything:
        return None
    values = {
        name: tuple(dict.fromkeys(point[name] for point in axis.points if name in point))
        for axis in spec.axes
        for name in axis.parameters
    }
    return SearchedSpace(searching.strategy, candidates, combinations or candidates, values)


class _Parts:
    """Hashes of what makes an experiment's id; workloads are most often shared by all."""

    def __init__(self, spec: StudySpec) -> None:
        self._bench = content_id(spec.bench.content())
        self._workloads: dict[int, str] = {}
        self._levels: dict[int, tuple[Level, ...]] = {}

    def levels_of(self, experiment: Experiment) -> tuple[Level, ...]:
        """The experiment's; the same object for all that share workloads."""
        key = id(experiment.workloads)
        if key not in self._levels:
            self._levels[key] = experiment.levels
        return self._levels[key]

    def of(self, experiment: Experiment) -> dict[str, str]:
        workloads = experiment.workloads
        if id(workloads) not in self._workloads:
            content = [workload.content() for workload in workloads]
            self._workloads[id(workloads)] = content_id(content)
        return {
            "server": content_id(experiment.server.content()),
            "workloads": self._workloads[id(workloads)],
            "resources": content_id(experiment.footprint.content()),
            "bench": self._bench,
        }
