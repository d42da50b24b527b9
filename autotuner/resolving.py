"""A point of the search space -> the experiment that measures it: server, GPUs and id."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from autotuner.engines.base import Engine
from autotuner.engines.registry import load_engine
from autotuner.engines.spans import refuse_span
from autotuner.errors import PlanError
from autotuner.spec.experiment import Experiment
from autotuner.spec.objective import Constraint
from autotuner.spec.server import Footprint, ServerConfig, Value, spelled
from autotuner.spec.study import ENVIRONMENT_PREFIX, StudySpec
from autotuner.spec.workload import Workload

__all__ = ["Resolver"]


def _tolerant(spec: StudySpec) -> tuple[Workload, ...]:
    """The workloads, with the share of failed requests that the constraints allow."""
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


class Resolver:
    """Makes the experiments of one study.

    Raises:
        PlanError: an engine that does not exist.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._engine = load_engine(spec.engine.name)
        self._workloads = _tolerant(spec)
        self._workloads_content = [workload.content() for workload in self._workloads]
        self._bench = spec.bench.content()

    def experiment(self, parameters: Mapping[str, Value]) -> Experiment:
        """The experiment that measures a point of the space; its index is not known yet.

        Raises:
            PlanError: a parallel size that is none, or GPUs that cannot be spread over nodes.
        """
        server = _server(self._spec, parameters)
        footprint = _footprint(self._spec, self._engine, server)
        refuse_span(server, footprint)
        return Experiment(
            id=Experiment.id_under(server, self._workloads_content, footprint, self._bench),
            index=0,
            parameters=dict(parameters),
            server=server,
            workloads=self._workloads,
            footprint=footprint,
        )


def _server(spec: StudySpec, parameters: Mapping[str, Value]) -> ServerConfig:
    flags = {**spec.engine.flags}
    environment = {**spec.engine.environment}
    for name, value in parameters.items():
        if not name.startswith(ENVIRONMENT_PREFIX):
            flags[name] = value
        elif value is not None:
            environment[name.removeprefix(ENVIRONMENT_PREFIX)] = spelled(value)
    return ServerConfig(
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
