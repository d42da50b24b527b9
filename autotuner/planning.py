"""StudySpec -> Plan: expand the axes, drop what is excluded, resolve commands, give ids.

The module is not called ``plan`` because the function is, and both live in ``autotuner``.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sized
from dataclasses import dataclass, replace
from pathlib import PurePath

from autotuner.engines.base import Rank
from autotuner.engines.registry import load_engine
from autotuner.engines.spans import command_of_rank
from autotuner.errors import PlanError
from autotuner.resolving import Resolver
from autotuner.search.exclusion import excluded
from autotuner.search.space import Point, all_points, combinations, even_points
from autotuner.spec.experiment import Experiment, content_id
from autotuner.spec.ordering import drawn
from autotuner.spec.secret_flags import is_secret_flag
from autotuner.spec.server import (
    ServerConfig,
    Value,
)
from autotuner.spec.study import (
    StudySpec,
)
from autotuner.supervision.environment import MASK, is_secret_name

__all__ = ["ASSUMED_START_S", "PLACEHOLDERS", "Dropped", "Duplicate", "Plan", "plan"]

_MOST_MEASURED = 1_000_000
_MOST_DROPPED_SHOWN = 100
ASSUMED_START_S = 60.0
"""From a server's launch until it is warm."""
_ASSUMED_BENCH_S = 2.0
"""What the load generator takes beyond the load of the first workload: it boots beside the server's
start."""
_ASSUMED_FURTHER_BENCH_S = 8.0
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
    combinations: int = 0
    """Of the whole space."""
    excluded: int = 0
    """So many points were dropped; of a space that was drawn from, ``dropped`` has only some."""
    looked_at: int = 0
    """So many points of the space were drawn; all of them where it was not drawn from."""

    @property
    def is_drawn(self) -> bool:
        """Whether the experiments are only some of a larger space."""
        return self.looked_at < self.combinations

    @property
    def levels(self) -> int:
        """Of all experiments together; where a load is to be found, about so many."""
        return sum(experiment.expected_levels for experiment in self.experiments)

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

        A server start of 60 s is assumed, and of the load generator 2 s beyond the load, and 8 s
        for each workload but the first.
        """
        workloads = experiment.workloads
        load_s = sum(w.stop.seconds * w.expected_levels for w in workloads)
        bench_s = _ASSUMED_BENCH_S + _ASSUMED_FURTHER_BENCH_S * (len(workloads) - 1)
        return ASSUMED_START_S + bench_s + load_s


def plan(spec: StudySpec) -> Plan:
    """Turn a study into its experiments: the baseline, then the grid, its last axis fastest.

    A point of the grid that starts the baseline's server is the baseline. Of a space of more points
    than a search takes as candidates, so many are drawn evenly.

    Raises:
        PlanError: an engine that does not exist, a parallel size that is none, a search space of
            which nothing remains, or one that is too large to be measured whole.
    """
    resolver = Resolver(spec)
    pool = _Pool(spec)
    experiments: dict[str, Experiment] = {}
    duplicates: list[Duplicate] = []
    for parameters in pool.points(experiments):
        experiment = resolver.experiment(parameters)
        if experiment.id in experiments:
            duplicates.append(Duplicate(parameters, experiments[experiment.id]))
        else:
            experiments[experiment.id] = experiment
    if not experiments:
        raise PlanError(
            f"study {spec.name!r}: all {pool.looked_at:,} combinations are excluded; "
            f"the last one because: {pool.last_reason}. Loosen the rules under 'exclude'"
        )
    if spec.baseline is not None:
        baseline = resolver.experiment(spec.baseline)
        baseline = replace(experiments.get(baseline.id, baseline), is_baseline=True)
        experiments = {baseline.id: baseline} | experiments | {baseline.id: baseline}
    numbered = [replace(e, index=index) for index, e in enumerate(experiments.values())]
    by_id = {experiment.id: experiment for experiment in numbered}
    return Plan(
        spec=spec,
        study_id=content_id([spec.name, *by_id], length=8),
        experiments=tuple(numbered),
        dropped=tuple(pool.dropped),
        duplicates=tuple(replace(d, same_as=by_id[d.same_as.id]) for d in duplicates),
        combinations=pool.combinations,
        excluded=pool.excluded,
        looked_at=pool.looked_at,
    )


class _Pool:
    """The points of the space that the study does not exclude, and a count of those it does."""

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self.combinations = combinations(spec.axes)
        self.dropped: list[Dropped] = []
        self.excluded = self.looked_at = 0
        self.last_reason = ""
        searching = spec.searching
        self._is_drawn = (
            not searching.measures_everything and self.combinations > searching.most_candidates
        )
        if searching.measures_everything and self.combinations > _MOST_MEASURED:
            raise PlanError(
                f"study {spec.name!r}: {self.combinations:,} combinations are too many to measure "
                f"them all ({_MOST_MEASURED:,} at most); search them: "
                "`search: {strategy: tpe, max_experiments: 100}`"
            )

    def points(self, taken: Sized) -> Iterator[Point]:
        """Those to be measured, or to choose among, until so many are ``taken`` as there may be."""
        spec, most = self._spec, self._spec.searching.most_candidates
        points = all_points(spec.axes)
        if self._is_drawn:
            points = even_points(spec.axes, spec.searching.seed, most)
        for parameters in points:
            self.looked_at += 1
            if (reason := excluded(spec, parameters)) is None:
                yield parameters
                if self._is_drawn and len(taken) >= most:
                    return
                continue
            self.excluded, self.last_reason = self.excluded + 1, reason
            if not self._is_drawn or len(self.dropped) < _MOST_DROPPED_SHOWN:
                self.dropped.append(Dropped(parameters, reason))
