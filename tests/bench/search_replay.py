"""What a search strategy saves: replayed on published measurements of real GPUs.

    python tests/bench/search_replay.py --data FILE [--seeds 50] [--quick] [--arms 8] [--shake 0]

FILE is a CSV of measured points (`replay_points` names its columns). A scenario is a model, GPU,
precision, and input and output length; an arm is an engine with its parallel sizes, on tp x pp x dp
GPUs; rows of other versions of an engine are averaged. Each scenario with enough arms is searched
for the best output throughput per GPU under three goals: none, at least 20, and at least 40 tokens
per second for each user. A start costs 180 s and a level 90 s, times the GPUs of the arm.

Everything is told as shares of the GPU time of the exhaustive grid, every level of every arm:

    hit     until the best measured is within 5 % of the best; a search that never gets there
            counts as 1, as if the grid had to be run instead
    stop    when the strategy itself stops, and nothing runs any more
    regret  of what it has found when it stops, by its true value
    hit rate  share of the searches with a regret of at most 5 % when they stop

Policies are the product's own strategies. Those without a model measure every level of an arm, in
the order of the plan (grid) or at random, and stop when nothing is left. The estimator is the
product's roofline from data sheets and public sizes of models, combined with the file's results of
other model families, never of the scenario's own.

The hazards are those of a real study: one arm in ten crashes at its start, and throughputs vary by
a coefficient of 5 %. With ``--shake 0.15`` each arm is quicker or slower than the file says, by a
factor of its own of about 15 %, of which no estimator knows. The last line is one JSON object: per
policy, over all scenarios, goals, seeds and numbers of slots under hazards, ``mean_cost`` and
``p90_cost`` of hit, ``stop_cost`` (mean),
``p95_regret`` and ``hit_rate``; and the same for each number of slots alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

# Many small matrices: threads that wait for each other take most of the time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from replay_estimators import ReplayEstimators
from replay_points import Arm, Point, Scenario, read_points
from replay_run import Case, Course, Hazards, arm_name, case_of, replay
from replay_summary import Summary

from autotuner.search.base import Candidate, Problem
from autotuner.search.estimators.base import Estimate
from autotuner.search.registry import load_strategy
from autotuner.spec.searching import LevelChoice, Searching
from autotuner.spec.workload import Level

FLOORS_TOK_S = (None, 20.0, 40.0)
SLOTS = (1, 8)
CHOSEN_ON = "llama"
"""The family on which the strategy's constants were chosen; the others are the test."""
CALM, HAZARDOUS = Hazards(), Hazards(crash_share=0.1, noise_cv=0.05)
QUICK_SEEDS = 5
CALM_SEEDS = 10
"""Without hazards; of a policy that draws nothing, one is as good as all."""
_SEEDS_APART = 1000
_SHAKEN_AS = 1

Estimator = Callable[[Candidate, Level], Estimate | None]


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    strategy: str
    levels: LevelChoice = LevelChoice.ALL
    estimates: bool = False
    draws: bool = False
    """Whether the seed changes what it does."""


POLICIES = (
    Policy("grid", "grid"),
    Policy("random", "random", draws=True),
    Policy("tpe", "tpe", draws=True),
    Policy("adaptive", "adaptive", LevelChoice.ADAPTIVE),
    Policy("adaptive+estimator", "adaptive", LevelChoice.ADAPTIVE, estimates=True),
)


@dataclass(frozen=True, slots=True)
class Key:
    """Which searches are averaged."""

    policy: str
    hazardous: bool
    slots: int
    family: str
    floor_tok_s: float | None


Courses = dict[Key, list[Course]]


@dataclass(frozen=True, slots=True)
class Scene:
    """A scenario, its points, and what the estimator says of them."""

    scenario: Scenario
    points: tuple[Point, ...]
    estimator: Estimator | None
    answered: int
    """Of the points."""
    number: int
    """In the file: scenarios draw their own luck."""


def scenes(points: Sequence[Point], fewest_arms: int, *, estimates: bool) -> Iterator[Scene]:
    by_scenario: dict[Scenario, list[Point]] = defaultdict(list)
    for point in points:
        by_scenario[point.scenario].append(point)
    estimators = ReplayEstimators(points)
    for number, (scenario, own) in enumerate(by_scenario.items()):
        arms: dict[str, Arm] = {arm_name(point.arm): point.arm for point in own}
        if len(arms) < fewest_arms:
            continue
        estimator = estimators.problem_estimate("both", scenario, arms) if estimates else None
        answered = sum(_answers(estimator, point) for point in own)
        yield Scene(scenario, tuple(own), estimator, answered, number)


def shaken(points: Sequence[Point], sigma: float) -> list[Point]:
    """All levels of an arm times a factor of its own, whose logarithm has this deviation."""
    arms = dict.fromkeys((point.scenario, point.arm) for point in points)
    drawn = np.exp(np.random.default_rng(_SHAKEN_AS).normal(0.0, sigma, len(arms)))
    factors = dict(zip(arms, drawn.tolist(), strict=True))
    return [
        replace(
            point,
            ttft_s=point.ttft_s * factors[point.scenario, point.arm],
            tpot_s=point.tpot_s * factors[point.scenario, point.arm],
        )
        for point in points
    ]


def _answers(estimator: Estimator | None, point: Point) -> bool:
    if estimator is None:
        return False
    candidate = Candidate(arm_name(point.arm), {}, point.arm.gpus, ())
    return estimator(candidate, Level("", "", point.concurrency)) is not None


def searches(scene: Scene, policies: Sequence[Policy], seeds: int) -> Iterator[tuple[Key, Course]]:
    """All searches of one scenario; goals that nothing keeps are left out."""
    family = scene.scenario.family
    for hazards, floor in ((h, f) for h in (CALM, HAZARDOUS) for f in FLOORS_TOK_S):
        for seed in range(seeds):
            luck = seed + _SEEDS_APART * scene.number
            case = case_of(scene.scenario, scene.points, floor, hazards, luck)
            if case is None:
                continue
            for policy in policies:
                if hazards is CALM and seed >= (CALM_SEEDS if policy.draws else 1):
                    continue
                for slots in SLOTS:
                    key = Key(policy.name, hazards is HAZARDOUS, slots, family, floor)
                    yield key, _search(policy, case, scene, luck, slots)


def _search(policy: Policy, case: Case, scene: Scene, seed: int, slots: int) -> Course:
    searching = Searching(strategy=policy.strategy, seed=seed, levels=policy.levels)
    estimate = scene.estimator if policy.estimates and scene.answered else None
    problem = Problem(case.candidates, case.judging, searching, estimate=estimate)
    return replay(case, load_strategy(policy.strategy)(problem), slots)


def print_table(title: str, courses: Courses, chosen: Callable[[Key], bool]) -> None:
    groups: dict[tuple[str, int], list[Course]] = defaultdict(list)
    for key, found in courses.items():
        if chosen(key):
            groups[key.policy, key.slots] += found
    if groups:
        print(f"\n{title}\n{Summary.header()}")
    for (policy, slots), found in groups.items():
        print(Summary.of(found).line(policy, slots))


def report(courses: Courses) -> None:
    print_table("One arm in ten crashes, noise of 5 %", courses, lambda key: key.hazardous)
    print_table("No crashes, no noise", courses, lambda key: not key.hazardous)
    for floor in FLOORS_TOK_S:
        goal = "no goal" if floor is None else f"at least {floor:g} tok/s per user"
        print_table(
            f"Crashes and noise, {goal}",
            courses,
            lambda key, floor=floor: key.hazardous and key.floor_tok_s == floor,
        )
    for family in dict.fromkeys(key.family for key in courses):
        chosen = ", on which constants were chosen" if family == CHOSEN_ON else ""
        print_table(
            f"Crashes and noise, {family}{chosen}",
            courses,
            lambda key, family=family: key.hazardous and key.family == family,
        )


def as_json(courses: Courses) -> str:
    hazardous = {key: found for key, found in courses.items() if key.hazardous}
    summary: dict[str, dict[str, object]] = {}
    for policy in dict.fromkeys(key.policy for key in hazardous):
        summary[policy] = dict(_pooled(hazardous, policy, SLOTS).measures())
        for slots in SLOTS:
            measures = _pooled(hazardous, policy, (slots,)).measures()
            summary[policy][f"at_{slots}_slot{'s' * (slots > 1)}"] = measures
    return json.dumps(summary)


def _pooled(courses: Courses, policy: str, slots: Sequence[int]) -> Summary:
    chosen = (
        found for key, found in courses.items() if key.policy == policy and key.slots in slots
    )
    return Summary.of([course for found in chosen for course in found])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="CSV of measured points")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SEEDS} seeds")
    parser.add_argument("--arms", type=int, default=8, help="fewest arms of a scenario")
    parser.add_argument("--shake", type=float, default=0.0, metavar="SIGMA", help=shaken.__doc__)
    parser.add_argument("--policies", nargs="+", choices=[one.name for one in POLICIES])
    arguments = parser.parse_args()
    seeds = QUICK_SEEDS if arguments.quick else arguments.seeds
    policies = [one for one in POLICIES if one.name in (arguments.policies or [one.name])]
    began = time.perf_counter()
    courses: Courses = defaultdict(list)
    count = answered = points = 0
    estimates = any(one.estimates for one in policies)
    measured = shaken(read_points(arguments.data), arguments.shake)
    for scene in scenes(measured, arguments.arms, estimates=estimates):
        count, points = count + 1, points + len(scene.points)
        answered += scene.answered
        for key, course in searches(scene, policies, seeds):
            courses[key].append(course)
    if not courses:
        print(f"no scenario of {arguments.data} has {arguments.arms} arms", file=sys.stderr)
        return 1
    print(f"{count} scenarios, {seeds} seeds, {time.perf_counter() - began:.0f} s")
    if estimates:
        what = "roofline from data sheets, and the file's results of other model families"
        print(f"estimator: {what}; it answered {answered} of {points} points")
    report(courses)
    print(as_json(courses))
    return 0


if __name__ == "__main__":
    sys.exit(main())
