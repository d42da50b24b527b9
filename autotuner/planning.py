"""StudySpec -> Plan: expand the axes, drop what is excluded, resolve commands, give ids.

The module is not called ``plan`` because the function is, and both live in ``autotuner``.
"""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath

from autotuner.engines.base import Engine, Rank
from autotuner.engines.registry import load_engine
from autotuner.engines.spans import command_of_rank, refuse_span
from autotuner.errors import PlanError
from autotuner.spec.experiment import Experiment, content_id
from autotuner.spec.objective import Constraint
from autotuner.spec.ordering import drawn
from autotuner.spec.secret_flags import is_secret_flag
from autotuner.spec.server import (
    Footprint,
    ServerConfig,
    Value,
    is_number,
    same_value,
    spelled,
)
from autotuner.spec.study import (
    ENVIRONMENT_PREFIX,
    Condition,
    Operator,
    ParameterRef,
    StudySpec,
)
from autotuner.spec.workload import Workload
from autotuner.supervision.environment import MASK, is_secret_name

__all__ = ["PLACEHOLDERS", "Dropped", "Duplicate", "Plan", "plan"]

_ASSUMED_START_S = 60.0
_ASSUMED_BENCH_BOOT_S = 10.0
_HOST, _LAUNCH_PORT = "127.0.0.1", 8000
_PORT, _SERVED_NAME = "{port}", "{served_name}"
_MASTER_ADDRESS, _MASTER_PORT = "{master_addr}", "{master_port}"
_LAUNCH_MASTER, _LAUNCH_MASTER_PORT = "RANK0_ADDRESS", 29500
PLACEHOLDERS = (_PORT, _SERVED_NAME, _MASTER_ADDRESS, _MASTER_PORT)
"""What a printed command leaves open."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A combination that will not be measured, and why."""

    parameters: Mapping[str, Value]
    reason: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A combination that starts the very server of another one; it is measured once."""

    parameters: Mapping[str, Value]
    same_as: Experiment


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study will do: `autotuner plan` prints it and `autotuner run` executes it."""

    spec: StudySpec
    study_id: str
    """Hash of the experiments; the same experiments continue the same results folder."""
    experiments: tuple[Experiment, ...]
    dropped: tuple[Dropped, ...]
    duplicates: tuple[Duplicate, ...]

    @property
    def levels(self) -> int:
        return sum(len(experiment.levels) for experiment in self.experiments)

    @property
    def baseline(self) -> Experiment | None:
        """The experiment that the others are compared with."""
        return next((e for e in self.experiments if e.is_baseline), None)

    @property
    def in_order(self) -> tuple[Experiment, ...]:
        """The experiments as they are started: the baseline, then the rest in random order.

        What changes slowly while a study runs, such as a clock that heats down, would otherwise
        look like an effect of the parameter that varies slowest.
        """
        if self.spec.order_seed is None:
            return self.experiments
        random = drawn(self.experiments, self.spec.order_seed, lambda experiment: experiment.id)
        return tuple(sorted(random, key=lambda experiment: not experiment.is_baseline))

    def command(self, experiment: Experiment, rank: int = 0) -> list[str]:
        """The argument list, secrets masked, with the `PLACEHOLDERS` left open.

        Args:
            rank: Of a server that spans nodes.
        """
        part = Rank(rank, experiment.footprint.nodes, _MASTER_ADDRESS, _MASTER_PORT)
        server = self.shown_server(experiment)
        return command_of_rank(server, part, host=_HOST, port=_PORT, served_name=_SERVED_NAME)

    @property
    def simulated(self) -> bool:
        return load_engine(self.spec.engine.name).simulated

    def variables(self, server: ServerConfig) -> list[str]:
        """``NAME=value`` of every variable that the server needs, secrets masked."""
        environment = {**load_engine(server.engine).environment(server), **server.environment}
        return [
            f"{key}={'...' if is_secret_name(key) else shlex.quote(value)}"
            for key, value in environment.items()
        ]

    def shown_server(self, experiment: Experiment) -> ServerConfig:
        """The server, secrets masked."""
        server = experiment.server
        environment = {n: MASK if is_secret_name(n) else v for n, v in server.environment.items()}
        flags = {n: MASK if is_secret_flag(n) else value for n, value in server.flags.items()}
        return replace(server, environment=environment, flags=flags)

    def launch_command(self, experiment: Experiment) -> str:
        """A shell line that starts this server by hand, secrets masked.

        Where it spans nodes, a line for each of them, in order of rank.
        """
        server = self.shown_server(experiment)
        name, nodes = PurePath(server.model.path).name, experiment.footprint.nodes
        lines = []
        for number in range(nodes):
            rank = Rank(number, nodes, _LAUNCH_MASTER, _LAUNCH_MASTER_PORT)
            words = command_of_rank(server, rank, host=_HOST, port=_LAUNCH_PORT, served_name=name)
            lines.append(" ".join([*self.variables(server), shlex.join(words)]))
        return "\n".join(lines)

    def estimated_s(self, experiment: Experiment) -> float:
        """Seconds that the experiment takes if every level runs to its time limit.

        A server start of 60 s and a load generator's boot of 10 s per workload are assumed.
        """
        load_s = sum(w.stop.seconds * len(w.levels) for w in experiment.workloads)
        return _ASSUMED_START_S + _ASSUMED_BENCH_BOOT_S * len(experiment.workloads) + load_s


def plan(spec: StudySpec) -> Plan:
    """Turn a study into its experiments: the baseline, then the grid, its last axis fastest.

    A point of the grid that starts the baseline's server is the baseline.

    Raises:
        PlanError: an engine that does not exist, a parallel size that is none, or a search
            space of which nothing remains.
    """
    engine = load_engine(spec.engine.name)
    workloads = _tolerant(spec)
    experiments: dict[str, Experiment] = {}
    dropped: list[Dropped] = []
    duplicates: list[Duplicate] = []
    for parameters in _grid(spec):
        if (reason := _excluded(spec, parameters)) is not None:
            dropped.append(Dropped(parameters, reason))
            continue
        experiment = _experiment(spec, engine, workloads, parameters)
        if experiment.id in experiments:
            duplicates.append(Duplicate(parameters, experiments[experiment.id]))
        else:
            experiments[experiment.id] = experiment
    if not experiments:
        raise PlanError(
            f"study {spec.name!r}: all {len(dropped)} combinations are excluded; "
            f"the last one because: {dropped[-1].reason}. Loosen the rules under 'exclude'"
        )
    if spec.baseline is not None:
        baseline = _experiment(spec, engine, workloads, spec.baseline)
        baseline = replace(experiments.get(baseline.id, baseline), is_baseline=True)
        experiments = {baseline.id: baseline} | experiments | {baseline.id: baseline}
    numbered = [replace(e, index=index) for index, e in enumerate(experiments.values())]
    by_id = {experiment.id: experiment for experiment in numbered}
    return Plan(
        spec=spec,
        study_id=content_id([spec.name, *by_id], length=8),
        experiments=tuple(numbered),
        dropped=tuple(dropped),
        duplicates=tuple(replace(d, same_as=by_id[d.same_as.id]) for d in duplicates),
    )


def _grid(spec: StudySpec) -> Iterator[dict[str, Value]]:
    for points in itertools.product(*(axis.points for axis in spec.axes)):
        yield {name: value for point in points for name, value in point.items()}


def _tolerant(spec: StudySpec) -> tuple[Workload, ...]:
    """The workloads with the share of failed requests that the constraints allow."""
    allowed = [
        _tolerated(constraint)
        for constraint in spec.judging.constraints
        if constraint.metric == "error_rate" and constraint.upper
    ]
    return tuple(replace(w, max_error_rate=min(allowed, default=0.0)) for w in spec.workloads)


def _tolerated(constraint: Constraint) -> float:
    """The most that a level may reach and still count as measured: a soft limit is no end."""
    penalty = constraint.penalty
    if penalty is None:
        return constraint.limit
    if penalty.fail_ratio is None:
        return 1.0
    return min(1.0, constraint.limit * (1 + penalty.fail_ratio))


def _experiment(
    spec: StudySpec,
    engine: Engine,
    workloads: tuple[Workload, ...],
    parameters: Mapping[str, Value],
) -> Experiment:
    flags = {**spec.engine.flags}
    environment = {**spec.engine.environment}
    for name, value in parameters.items():
        if not name.startswith(ENVIRONMENT_PREFIX):
            flags[name] = value
        elif value is not None:
            environment[name.removeprefix(ENVIRONMENT_PREFIX)] = spelled(value)
    server = ServerConfig(
        engine=spec.engine.name,
        model=spec.model,
        # Omitted either way: with them gone, points that start the same server get the same id.
        flags={n: v for n, v in flags.items() if v is not None and v is not False},
        environment=environment,
        executable=spec.engine.executable,
        command=spec.engine.command,
        launcher=spec.launcher,
        launch=spec.launch,
    )
    footprint = _footprint(spec, engine, server)
    refuse_span(server, footprint)
    return Experiment(
        id=Experiment.id_of(server, workloads, footprint, spec.bench.content()),
        index=0,  # once all are known
        parameters=dict(parameters),
        server=server,
        workloads=workloads,
        footprint=footprint,
    )


def _footprint(spec: StudySpec, engine: Engine, server: ServerConfig) -> Footprint:
    resources = spec.resources
    gpus = engine.gpus(server.flags) if resources.gpus is None else resources.gpus
    nodes = max(1, math.ceil(gpus / (resources.gpus_per_node or max(1, gpus))))
    if gpus % nodes:
        raise PlanError(
            f"{gpus} GPUs cannot be spread evenly over {nodes} nodes of {resources.gpus_per_node} "
            "(resources.gpus_per_node): change the parallel sizes, or exclude them"
        )
    return Footprint(
        gpus // nodes,
        nodes,
        resources.cpus,
        quota=spec.launch.quota if spec.launch is not None else None,
        gpu_type=resources.gpu_type,
        whole_nodes=resources.whole_nodes,
    )


def _excluded(spec: StudySpec, parameters: Mapping[str, Value]) -> str | None:
    known = {**spec.engine.flags, **parameters}
    for exclusion in spec.exclusions:
        if all(holds(condition, known) for condition in exclusion.conditions):
            return exclusion.reason or " and ".join(str(c) for c in exclusion.conditions)
    return None


def holds(condition: Condition, parameters: Mapping[str, Value]) -> bool:
    """Whether a condition is true of a point; never, where a side is absent or not comparable."""
    operand = condition.operand
    if isinstance(operand, ParameterRef):
        operand = parameters.get(operand.name)
    value = parameters.get(condition.parameter)
    if value is None or operand is None:
        return False
    match condition.operator:
        case Operator.ONE_OF:
            return isinstance(operand, tuple) and any(same_value(value, one) for one in operand)
        case Operator.EQUALS:
            return not isinstance(operand, tuple) and same_value(value, operand)
        case Operator.NOT_EQUALS:
            return not isinstance(operand, tuple) and not same_value(value, operand)
    if not is_number(value) or not is_number(operand):
        return False
    order = {
        Operator.LESS_THAN: value < operand,
        Operator.AT_MOST: value <= operand,
        Operator.GREATER_THAN: value > operand,
        Operator.AT_LEAST: value >= operand,
    }
    return order[condition.operator]
