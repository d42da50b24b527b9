"""One search over one scenario of published measurements, in simulated time.

Servers take 180 s to start and 90 s per level, and answer from the data. A server that crashes
does so at its start. Noise is a factor on the throughput of each level, log-normal with mean 1;
latencies, and with them what keeps a goal, are those of the data.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from replay_points import Arm, Point, Scenario

from autotuner.search.base import Ask, Candidate, Ended, Strategy, Told
from autotuner.search.level_plans import NoMore, Seen
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint, Direction, Objective, Over
from autotuner.spec.workload import Level

__all__ = ["WITHIN", "Case", "Course", "Hazards", "arm_name", "case_of", "replay"]

START_S, LEVEL_S = 180.0, 90.0
WITHIN = 0.05
"""A search has hit where what it has found is worse than the best by at most this fraction."""
OBJECTIVE = Objective(
    "throughput", "output_throughput_tok_s_per_gpu", Direction.MAXIMIZE, over=Over.BEST
)

Row = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Hazards:
    """What the data lack."""

    crash_share: float = 0.0
    """Of arms that crash at their start."""
    noise_cv: float = 0.0


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario and a goal, with one seed's crashes and noise."""

    candidates: tuple[Candidate, ...]
    """In the order of a plan: by engine, then by parallel sizes."""
    judging: Judging
    measured: Mapping[tuple[str, Level], Row]
    true: Mapping[tuple[str, Level], float]
    """What each level is worth; those alone that keep the goal, of servers that start."""
    crashes: frozenset[str]

    @property
    def best(self) -> float:
        return max(self.true.values())

    @property
    def exhaustive_gpu_s(self) -> float:
        """Of measuring every level of every arm; of one that crashes, its start."""
        return sum(
            one.gpus * (START_S + (0 if one.id in self.crashes else LEVEL_S * len(one.levels)))
            for one in self.candidates
        )


@dataclass(slots=True)
class Course:
    """What a search has cost, and what it has found. Shares are of the exhaustive GPU time."""

    hit: float | None = None
    """Share until it has hit for the first time; None: never."""
    hit_s: float | None = None
    stop: float = 0.0
    """Share when it has stopped."""
    stop_s: float = 0.0
    regret: float = 1.0
    """Of the best level that it has measured, by its true value, when it has stopped."""
    experiments: int = 0


def arm_name(arm: Arm) -> str:
    return f"{arm.backend} tp{arm.tp} pp{arm.pp} dp{arm.dp} moe-tp{arm.moe_tp} moe-ep{arm.moe_ep}"


def case_of(
    scenario: Scenario,
    points: Sequence[Point],
    floor_tok_s: float | None,
    hazards: Hazards,
    seed: int,
) -> Case | None:
    """None where no level of a server that starts keeps the goal.

    Args:
        floor_tok_s: Tokens per second that each user is to get; None: no goal.
    """
    generator = np.random.default_rng(seed)
    sigma = math.sqrt(math.log1p(hazards.noise_cv**2))
    by_arm: dict[Arm, list[Point]] = {}
    for point in points:
        by_arm.setdefault(point.arm, []).append(point)
    candidates, measured, true, crashes = [], {}, {}, set()
    for arm in sorted(by_arm, key=_plan_order):
        own, name = sorted(by_arm[arm], key=lambda point: point.concurrency), arm_name(arm)
        traffic = f"D({scenario.isl},{scenario.osl})"
        levels = tuple(Level("replay", traffic, point.concurrency) for point in own)
        candidates.append(Candidate(name, _parameters(arm), arm.gpus, levels, START_S, LEVEL_S))
        if generator.random() < hazards.crash_share:
            crashes.add(name)
        noise = np.exp(sigma * generator.standard_normal(len(own)) - sigma**2 / 2)
        for level, point, factor in zip(levels, own, noise, strict=True):
            measured[name, level] = _row(point, float(factor))
            slow = floor_tok_s is not None and floor_tok_s * point.tpot_s > 1
            if name not in crashes and not slow:
                true[name, level] = point.throughput_tok_s / arm.gpus
    if not true:
        return None
    floor = () if floor_tok_s is None else (Constraint("tpot_s", "mean", 1 / floor_tok_s),)
    return Case(tuple(candidates), Judging(OBJECTIVE, floor), measured, true, frozenset(crashes))


def _plan_order(arm: Arm) -> tuple[str, tuple[int, ...]]:
    return arm.backend, (arm.tp, arm.pp, arm.dp, arm.moe_tp, arm.moe_ep)


def _parameters(arm: Arm) -> dict[str, str | int]:
    return {
        "backend": arm.backend,
        "tp": arm.tp,
        "pp": arm.pp,
        "dp": arm.dp,
        "moe-tp": arm.moe_tp,
        "moe-ep": arm.moe_ep,
    }


def _row(point: Point, factor: float) -> Row:
    return {
        "output_throughput_tok_s": point.throughput_tok_s * factor,
        "output_throughput_tok_s_per_gpu": point.throughput_tok_s / point.arm.gpus * factor,
        "ttft_s_mean": point.ttft_s,
        "tpot_s_mean": point.tpot_s,
    }


@dataclass(eq=False, slots=True)
class _Server:
    ask: Ask
    candidate: Candidate
    began_s: float
    loaded: Level | None = None
    """With which level it is loaded now; None: it starts."""
    seen: list[Seen] = field(default_factory=list)

    def gpu_s(self, now_s: float) -> float:
        return self.candidate.gpus * (now_s - self.began_s)


def replay(case: Case, strategy: Strategy, slots: int) -> Course:
    """Let the strategy choose, and play its servers, so many at a time."""
    return _Replay(case, strategy).play(slots)


class _Replay:
    def __init__(self, case: Case, strategy: Strategy) -> None:
        self.case, self.strategy = case, strategy
        self.candidates = {one.id: one for one in case.candidates}
        self.whole, self.best = case.exhaustive_gpu_s, case.best
        self.queue: list[tuple[float, int, _Server]] = []
        """(when something happens, order, server)."""
        self.events = 0
        self.spent = 0.0
        """GPU-seconds of servers that have ended."""
        self.found = -math.inf
        """The largest value measured under the goal."""
        self.course = Course()

    def play(self, slots: int) -> Course:
        now_s = 0.0
        while True:
            for ask in self.strategy.ask(slots - len(self.queue)):
                self.course.experiments += 1
                server = _Server(ask, self.candidates[ask.candidate], now_s)
                self._later(now_s + START_S, server)
            if not self.queue:
                break
            now_s, _, server = heapq.heappop(self.queue)
            self._go_on(server, now_s)
        self.course.stop, self.course.stop_s = self.spent / self.whole, now_s
        return self.course

    def _later(self, when_s: float, server: _Server) -> None:
        self.events += 1
        heapq.heappush(self.queue, (when_s, self.events, server))

    def _go_on(self, server: _Server, now_s: float) -> None:
        name = server.candidate.id
        if name in self.case.crashes:
            self.spent += server.gpu_s(now_s)
            self.strategy.tell(Told(name, {}, Ended.FAILED))
            return
        if server.loaded is not None:
            self._measured(server, server.loaded, now_s)
        following = server.ask.levels.next(server.seen)
        rows = {seen.level: seen.row for seen in server.seen}
        if isinstance(following, NoMore):
            self.spent += server.gpu_s(now_s)
            ended = Ended.PRUNED if following.pruned else Ended.COMPLETED
            self.strategy.tell(Told(name, rows, ended))
            return
        if rows:
            self.strategy.tell(Told(name, rows))
        server.loaded = following
        self._later(now_s + LEVEL_S, server)

    def _measured(self, server: _Server, level: Level, now_s: float) -> None:
        key = (server.candidate.id, level)
        row = self.case.measured[key]
        server.seen.append(Seen(level, row, ok=True))
        if key not in self.case.true or row[OBJECTIVE.column] <= self.found:
            return
        self.found = row[OBJECTIVE.column]
        self.course.regret = 1 - self.case.true[key] / self.best
        if self.course.hit is None and self.course.regret <= WITHIN:
            running = server.gpu_s(now_s) + sum(one.gpu_s(now_s) for _, _, one in self.queue)
            self.course.hit, self.course.hit_s = (self.spent + running) / self.whole, now_s
