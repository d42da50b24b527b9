"""What starts next, and where: the waiting experiments, the nodes, and what is known of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from autotuner.driver.failures.policy import FailurePolicy
from autotuner.driver.placing.expected_times import ExpectedTimes
from autotuner.driver.placing.waiting import Choice, Waiting
from autotuner.driver.resume import Past
from autotuner.driver.running import Running
from autotuner.errors import ClusterError
from autotuner.execution.base import Executor, Node, Slot
from autotuner.execution.books import Held, without
from autotuner.execution.fitting import does_not_fit, exceeds_limit, fits_idle
from autotuner.execution.placement import Group, Placement, place, places
from autotuner.planning import Plan
from autotuner.spec.experiment import Experiment
from autotuner.spec.server import Footprint

__all__ = ["Dispatcher"]

_LOOK_S = 1.0
"""How often to ask the cluster for its nodes, and to look again where nothing has changed."""
_DEMAND_S = 10.0
"""How often to repeat to the cluster what is needed of it: others may have asked since."""
_OVERRUN = 0.1
"""An attempt that has taken longer than expected takes so much of its time more."""


class Dispatcher:
    """Holds what waits, and decides what of it starts. All times are of `time.monotonic`.

    Args:
        past: What earlier runs have left to do, and how long their attempts took.
    """

    def __init__(self, plan: Plan, executor: Executor, policy: FailurePolicy, past: Past) -> None:
        self._plan = plan
        self._executor = executor
        self._policy = policy
        guessed_s = {experiment.id: plan.estimated_s(experiment) for experiment in plan.experiments}
        self._times = ExpectedTimes(plan.experiments, guessed_s)
        by_id = {experiment.id: experiment for experiment in plan.experiments}
        for id_, seconds in past.seconds.items():
            self._times.see(by_id[id_], seconds)
        self._wanted_host: dict[str, str] = {}
        self._retried: set[str] = set()
        self._waiting = Waiting(self._choice_of, self._times.of)
        self._waiting.add(self._in_order(past.to_do))
        self._ordered_with = self._times.renewals
        self._nodes: tuple[Node, ...] = ()
        self._nodes_at = float("-inf")
        self._round_at = float("-inf")
        self._changed = True
        self._drained: frozenset[str] = frozenset()
        self._orders = plan.spec.searching.measures_everything
        """Whether the order is ours; a search asks for what it wants in its own."""
        self._told: Counter[Footprint] = Counter()
        self._told_at = float("-inf")

    @property
    def count(self) -> int:
        """How many experiments wait."""
        return len(self._waiting)

    def check_fit(self, further: Iterable[Experiment] = ()) -> None:
        """Refuse a study of which a part could never start.

        Args:
            further: Those that may come to wait later.

        Raises:
            ClusterError: an experiment needs more than the cluster has, which cannot grow, or
                than the study may hold.
        """
        nodes = self._executor.nodes()
        most = self._plan.spec.max_gpus
        for experiment in {e.footprint: e for e in (*self._waiting, *further)}.values():
            if most is not None and experiment.footprint.gpus > most:
                raise ClusterError(exceeds_limit(experiment, most))
            if not fits_idle(experiment.footprint, nodes) and not self._executor.can_grow:
                raise ClusterError(does_not_fit(experiment, nodes))

    def nodes(self, now: float) -> tuple[Node, ...]:
        """Those alive, as seen within the last second."""
        if now - self._nodes_at >= _LOOK_S:
            nodes, self._nodes_at = self._executor.nodes(), now
            self._changed |= nodes != self._nodes
            self._nodes = nodes
        return self._nodes

    def places(self, experiments: Sequence[Experiment], now: float) -> int:
        """So many of them the cluster could hold at once."""
        return places(experiments, self.nodes(now))

    def is_due(self, now: float) -> bool:
        """Whether `next` would look for places: something has changed, or may have."""
        self.nodes(now)
        return self._changed or now - self._round_at >= _LOOK_S

    def room(
        self,
        candidates: Mapping[Footprint, Sequence[Experiment]],
        running: Collection[Running],
        lost: Iterable[Slot],
        now: float,
    ) -> int:
        """How many of the candidates could start now, beside what runs and what waits.

        Counted by the widest of them. At least one where nothing runs and nothing waits, or where
        the cluster grows with what waits: it is told of nothing else.
        """
        usable = without(self.nodes(now), lost)
        groups = [
            *self._waiting.groups(lambda c: self._policy.nodes_for(c, usable, now), now),
            *(
                Group(need, some, self._policy.nodes_for(Choice(need), usable, now), 0.0)
                for need, some in candidates.items()
            ),
        ]
        chosen = self._placed(groups, usable, running, now).chosen
        found = sum(experiment not in self._waiting for experiment, _ in chosen)
        if found or self.count or (running and not self._executor.can_grow):
            return found
        return 1

    def committed_gpu_s(self, running: Collection[Running], now: float) -> float:
        """GPU-seconds that what runs has taken and will, and that what waits will, as expected."""
        spent_s = (now - (one.first_event_at or now) for one in running)
        runs = sum(
            one.gpus_reserved * (s + self._left_s(one, now))
            for one, s in zip(running, spent_s, strict=True)
        )
        return runs + sum(e.footprint.gpus * self._times.of(e) for e in self._waiting)

    def add(self, experiments: Iterable[Experiment], wanted_host: str | None = None) -> None:
        """Let them wait, behind the others."""
        experiments = tuple(experiments)
        if wanted_host is not None:
            self._wanted_host |= {experiment.id: wanted_host for experiment in experiments}
        self._waiting.add(experiments)
        self._changed = True

    def retry(self, experiment: Experiment) -> None:
        """Let it wait once more, before the others: what begins anew ends last."""
        self._retried.add(experiment.id)
        self._waiting.add_first(experiment)
        self._changed = True

    def ended(self, running: Running, now: float, *, completed: bool) -> None:
        """Its slot is free, or its node is gone."""
        self._changed, self._nodes_at = True, float("-inf")
        if completed and running.first_event_at is not None:
            self._times.see(running.attempt.experiment, now - running.first_event_at)

    def look_again(self) -> None:
        """A slot is lost, or there again."""
        self._changed = True

    def failed(self) -> None:
        """An experiment has failed, and the policy knows of it."""
        if self._orders and self._policy.study.is_groping:
            self._waiting.reorder(self._policy.study.in_order(list(self._waiting)))

    def next(
        self, running: Collection[Running], lost: Iterable[Slot], now: float
    ) -> tuple[tuple[Experiment, Slot], ...]:
        """What starts now; it waits no longer.

        Args:
            lost: Slots that nobody can use.
        """
        nodes = self.nodes(now)
        if not self._changed and now - self._round_at < _LOOK_S:
            return ()
        self._changed, self._round_at = False, now
        self._reorder()
        usable = without(nodes, lost)
        groups = self._waiting.groups(lambda c: self._policy.nodes_for(c, usable, now), now)
        placement = self._placed(groups, usable, running, now)
        self._drained = placement.drained
        for experiment, _ in placement.chosen:
            self._waiting.remove(experiment)
        taken = Counter(one.attempt.experiment.footprint for one in running)
        taken.update(experiment.footprint for experiment, _ in placement.chosen)
        self._tell_demand(taken, now)
        return placement.chosen

    def fits_without_others(self, lost: Iterable[Slot], now: float) -> bool:
        """Whether all that waits could run here, if nobody else held anything.

        Args:
            lost: Slots that nobody can use.
        """
        nodes = without(self.nodes(now), lost)
        return all(fits_idle(need, nodes) for need in self._waiting.demand)

    def what_waits(self) -> Experiment:
        """The one to name where nothing finds a place."""
        return next(iter(self._waiting))

    def _placed(
        self,
        groups: Sequence[Group],
        usable: Sequence[Node],
        running: Iterable[Running],
        now: float,
    ) -> Placement:
        """Where these could start, beside what runs and what others hold."""
        return place(
            groups,
            usable,
            [Held(one.slot, self._left_s(one, now)) for one in running],
            others=self._executor.held_by_others(),
            most_gpus=self._plan.spec.max_gpus,
            drained=self._drained,
        )

    def _choice_of(self, experiment: Experiment) -> Choice:
        return self._policy.choice(experiment, self._wanted_host.get(experiment.id))

    def _in_order(self, experiments: Sequence[Experiment]) -> list[Experiment]:
        """The baseline, what is tried again, then the longest first.

        In plan order where that is asked for.
        """
        if self._plan.spec.order_seed is None:
            return list(experiments)
        ordered = self._times.longest_first(experiments)
        return sorted(ordered, key=lambda e: (not e.is_baseline, e.id not in self._retried))

    def _reorder(self) -> None:
        if not self._orders:
            return
        if self._ordered_with != self._times.renewals and not self._policy.study.is_groping:
            self._ordered_with = self._times.renewals
            self._waiting.reorder(self._in_order(list(self._waiting)))

    def _left_s(self, running: Running, now: float) -> float:
        spent_s = now - (running.first_event_at or running.submitted_at)
        return max(self._times.of(running.attempt.experiment) - spent_s, _OVERRUN * spent_s)

    def _tell_demand(self, taken: Mapping[Footprint, int], now: float) -> None:
        """Tell the cluster what it is to hold, in case that it can grow or shrink."""
        demand = Counter(taken) + self._waiting.demand
        left = self._plan.spec.max_gpus
        if left is not None:
            for need in sorted(demand, key=lambda footprint: -footprint.gpus):
                demand[need] = min(demand[need], left // max(1, need.gpus))
                left -= demand[need] * need.gpus
        if demand != self._told or now - self._told_at >= _DEMAND_S:
            self._told, self._told_at = demand, now
            self._executor.want(+demand)
