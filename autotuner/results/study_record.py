"""``study.json``: what a results folder must say about its study to be read on its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from autotuner.errors import OutputError
from autotuner.results.schema import (
    SCHEMA_VERSION,
    ParameterColumn,
    ParameterType,
    parameter_columns,
)
from autotuner.spec.experiment import Experiment, content_id
from autotuner.spec.objective import Constraint, Direction, Objective, Over
from autotuner.spec.server import Value
from autotuner.spec.study import StudySpec
from autotuner.spec.workload import Level

__all__ = ["ExpectedExperiment", "StudyRecord"]


@dataclass(frozen=True, slots=True)
class ExpectedExperiment:
    """An experiment of the plan, as far as its results need it."""

    id: str
    label: str
    parameters: Mapping[str, Value]
    levels: tuple[Level, ...]
    """Every level that must be measured for the experiment to count."""
    launch_command: str = ""
    """Shell line that starts this server by hand, secrets masked."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Hashes of what the id is a hash of: server, workloads, resources, bench."""


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """The study's identity, its plan, and how its results are judged."""

    study_id: str
    """Content hash of the plan; equal id, same experiments."""
    name: str
    created_at: datetime
    """With a time zone."""
    autotuner_version: str
    objective: Objective
    constraints: tuple[Constraint, ...]
    parameters: tuple[ParameterColumn, ...]
    experiments: tuple[ExpectedExperiment, ...]
    """In plan order."""

    @staticmethod
    def of(
        spec: StudySpec,
        experiments: Sequence[Experiment],
        *,
        launch_commands: Mapping[str, str],
        study_id: str,
        created_at: datetime,
        autotuner_version: str,
    ) -> StudyRecord:
        """The record of a planned study.

        Args:
            launch_commands: Experiment id -> shell line; may lack some.

        Raises:
            PlanError: where two parameters would share a result column.
        """
        return StudyRecord(
            study_id=study_id,
            name=spec.name,
            created_at=created_at,
            autotuner_version=autotuner_version,
            objective=spec.objective,
            constraints=spec.constraints,
            parameters=parameter_columns(spec.axes),
            experiments=tuple(
                ExpectedExperiment(
                    e.id,
                    e.label,
                    dict(e.parameters),
                    e.levels,
                    launch_commands.get(e.id, ""),
                    _parts(e, spec),
                )
                for e in experiments
            ),
        )

    def to_json(self) -> str:
        content = {
            "schema_version": SCHEMA_VERSION,
            **asdict(self),
            "created_at": self.created_at.isoformat(),
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    @staticmethod
    def from_json(text: str, source: str) -> StudyRecord:
        """Read what `to_json` wrote.

        Raises:
            OutputError: naming ``source``, for other content or a newer schema.
        """
        try:
            content = json.loads(text)
            version = content["schema_version"]
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(f"{source} is not a study record: {error!r}") from error
        if version != SCHEMA_VERSION:
            raise OutputError(
                f"{source} has schema version {version}, this autotuner reads {SCHEMA_VERSION}; "
                "read it with the autotuner version that wrote it"
            )
        try:
            return _record(content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OutputError(f"{source} is not a study record: {error!r}") from error


def _parts(experiment: Experiment, spec: StudySpec) -> dict[str, str]:
    return {
        "server": content_id(asdict(experiment.server)),
        "workloads": content_id([asdict(workload) for workload in experiment.workloads]),
        "resources": content_id(asdict(experiment.footprint)),
        "bench": content_id(asdict(spec.bench)),
    }


def _record(content: Mapping[str, Any]) -> StudyRecord:
    return StudyRecord(
        study_id=content["study_id"],
        name=content["name"],
        created_at=datetime.fromisoformat(content["created_at"]),
        autotuner_version=content["autotuner_version"],
        objective=_objective(content["objective"]),
        constraints=tuple(Constraint(**constraint) for constraint in content["constraints"]),
        parameters=tuple(
            ParameterColumn(p["parameter"], p["column"], ParameterType(p["type"]))
            for p in content["parameters"]
        ),
        experiments=tuple(
            ExpectedExperiment(
                e["id"],
                e["label"],
                e["parameters"],
                tuple(Level(**level) for level in e["levels"]),
                e["launch_command"],
                e["parts"],
            )
            for e in content["experiments"]
        ),
    )


def _objective(content: Mapping[str, Any]) -> Objective:
    over = content["over"]
    return Objective(
        **{
            **content,
            "direction": Direction(content["direction"]),
            "over": None if over is None else Over(over),
        }
    )
