"""What search strategies do in a space of server flags whose optimum is known.

    python tests/bench/search_simulated.py [--seeds 10] [--policies adaptive ...]

The space is that of `simulated_space`: 432 configurations of the `sim` engine, 48 of which differ
in what they do, at 8 levels each, under three goals. One in ten crashes at its start, throughputs
vary by a coefficient of 5 %. Costs are those of `replay_run`, told as shares of the GPU time of the
whole grid. Strategies without a model measure all levels, as TPE does, and both stop after 30
experiments in a row without an improvement of 2 %. The last line is one JSON object with the same
measures as that of `search_replay`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

import numpy as np
from replay_run import LEVEL_S, OBJECTIVE, START_S, Case, Course, Hazards, replay
from replay_summary import Summary
from simulated_space import LEVELS, Setting, served, settings

from autotuner.results.limits import judge_level
from autotuner.search.base import Candidate, Problem
from autotuner.search.registry import load_strategy
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint
from autotuner.spec.searching import LevelChoice, Searching, StopWhen
from autotuner.spec.workload import Level

POLICIES = ("random", "tpe", "adaptive")
SLOTS = (1, 8)
GOALS = {
    "no goal": (),
    "tpot <= 8 ms": (Constraint("tpot_s", "mean", 0.008),),
    "tpot <= 20 ms, ttft <= 0.3 s": (
        Constraint("tpot_s", "mean", 0.02),
        Constraint("ttft_s", "mean", 0.3),
    ),
}
HAZARDS = Hazards(crash_share=0.1, noise_cv=0.05)
PATIENCE = StopWhen(no_improvement=30)


def case_of(limits: Sequence[Constraint], seed: int) -> Case:
    generator = np.random.default_rng(seed)
    sigma = float(np.sqrt(np.log1p(HAZARDS.noise_cv**2)))
    levels = tuple(Level("sim", "D(512,64)", concurrency) for concurrency in LEVELS)
    candidates, measured, true, crashes = [], {}, {}, set()
    for setting in settings():
        name, gpus = _name(setting), setting.tensor_parallel_size
        candidates.append(Candidate(name, setting.parameters, gpus, levels, START_S, LEVEL_S))
        if generator.random() < HAZARDS.crash_share:
            crashes.add(name)
        for level, luck in zip(levels, generator.standard_normal(len(levels)), strict=True):
            row = _row(setting, level, float(np.exp(sigma * luck - sigma**2 / 2)))
            measured[name, level] = row
            if name not in crashes and not judge_level(row, limits).misses:
                per_gpu = served(setting, level.concurrency).throughput_tok_s / gpus
                true[name, level] = per_gpu
    judging = Judging(OBJECTIVE, tuple(limits))
    return Case(tuple(candidates), judging, measured, true, frozenset(crashes))


def _name(setting: Setting) -> str:
    return " ".join(f"{key}={value}" for key, value in setting.parameters.items())


def _row(setting: Setting, level: Level, factor: float) -> dict[str, float]:
    shown = served(setting, level.concurrency)
    throughput = shown.throughput_tok_s * factor
    return {
        "output_throughput_tok_s": throughput,
        "output_throughput_tok_s_per_gpu": throughput / setting.tensor_parallel_size,
        "ttft_s_mean": shown.ttft_s,
        "tpot_s_mean": shown.tpot_s,
    }


def search(policy: str, case: Case, seed: int, slots: int) -> Course:
    ours = policy == "adaptive"
    levels = LevelChoice.ADAPTIVE if ours else LevelChoice.ALL
    stop = StopWhen() if ours else PATIENCE
    searching = Searching(policy, seed=seed, levels=levels, stop_when=stop)
    problem = Problem(case.candidates, case.judging, searching)
    return replay(case, load_strategy(policy)(problem), slots)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=POLICIES)
    arguments = parser.parse_args()
    pooled: dict[str, list[Course]] = {}
    for goal, limits in GOALS.items():
        print(f"\n{goal}\n{Summary.header()} {'s/search':>8}")
        cases = [case_of(limits, seed) for seed in range(arguments.seeds)]
        for policy in arguments.policies:
            for slots in SLOTS:
                began = time.perf_counter()
                found = [search(policy, case, seed, slots) for seed, case in enumerate(cases)]
                took = (time.perf_counter() - began) / len(found)
                print(f"{Summary.of(found).line(policy, slots)} {took:8.1f}")
                pooled.setdefault(policy, []).extend(found)
    print(json.dumps({policy: Summary.of(found).measures() for policy, found in pooled.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
