"""How many experiments random, sobol and tpe take on servers whose answers are formulas.

Three response surfaces over the flags that matter most to a server, each with a region where it
crashes. Counted is the share of all candidates that was asked for until one of them was within
5 % of the best in truth; what the strategy is told has noise. Nothing here was measured on a GPU:
the table says whether a strategy learns at all, and what it does to crashes.

    python tests/bench/search_functions.py
    python tests/bench/search_functions.py --cost --strategies sobol tpe nsga2
    python tests/bench/search_functions.py --seeds 10 --slots 8 --strategies random tpe
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from autotuner.search.base import Candidate, Ended, Problem, Told
from autotuner.search.registry import load_strategy
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint, Direction, Objective
from autotuner.spec.searching import Searching
from autotuner.spec.server import Value
from autotuner.spec.workload import Level

LEVEL = Level("chat", "D(2000,300)", 256)
NEAR_ENOUGH = 0.05
OBJECTIVE = Objective("per GPU", "output_throughput_tok_s_per_gpu", Direction.MAXIMIZE)
SLO = Constraint("tpot_s", "p99", 0.05)

Parameters = Mapping[str, Value]
Shown = dict[str, float] | None
"""Throughput per GPU and TPOT; None: the server crashed."""


@dataclass(frozen=True)
class Surface:
    name: str
    axes: Mapping[str, Sequence[Value]]
    show: Callable[[Parameters, int], Shown]
    constraints: tuple[Constraint, ...] = ()

    def candidates(self) -> tuple[Candidate, ...]:
        points = (
            dict(zip(self.axes, p, strict=True)) for p in itertools.product(*self.axes.values())
        )
        return tuple(
            Candidate(f"{number:04}", point, int(str(point["tp"])), (LEVEL,))
            for number, point in enumerate(points)
        )

    def value(self, candidate: Candidate) -> float | None:
        """What it is worth in truth; None where it crashes or misses the limit."""
        shown = self.show(candidate.parameters, LEVEL.concurrency)
        if shown is None or (self.constraints and shown["tpot_s_p99"] > SLO.limit):
            return None
        return shown["output_throughput_tok_s_per_gpu"]


def number(parameters: Parameters, name: str) -> float:
    value = parameters[name]
    assert isinstance(value, int | float)
    return float(value)


def sizes(parameters: Parameters) -> tuple[float, float, float]:
    """Sequences, tokens of a batch, and GPUs."""
    seqs, tokens = number(parameters, "max-num-seqs"), number(parameters, "max-num-batched-tokens")
    return seqs, tokens, number(parameters, "tp")


def saturating(parameters: Parameters, concurrency: int) -> Shown:
    """More sequences help until their KV cache is swapped; many tokens on one GPU do not fit."""
    seqs, tokens, tp = (
        number(parameters, n) for n in ("max-num-seqs", "max-num-batched-tokens", "tp")
    )
    memory = number(parameters, "gpu-memory-utilization")
    free_gb = 80 * tp * memory - 66 - tokens * 0.0009 * tp**0.5
    if free_gb < 2 or (memory > 0.9 and tokens * seqs > 2**21):
        return None
    fits = free_gb * 1024 / 330
    wanted = min(seqs, concurrency)
    running = min(wanted, fits)
    swapped = max(0.0, wanted - fits) / 256
    step_s = (0.011 + 0.00006 * running) / tp**0.75 + 0.0012 * math.log2(tp)
    prefill_s = 0.00011 * running * (1 + 600 / tokens) / tp**0.8
    per_gpu = running / (step_s + prefill_s) / tp * (1 - 0.5 * swapped)
    return {"output_throughput_tok_s_per_gpu": per_gpu, "tpot_s_p99": 1.4 * (step_s + prefill_s)}


def under_a_limit(parameters: Parameters, concurrency: int) -> Shown:
    """The best lies at the edge of a limit on TPOT, beside where graphs do not fit."""
    seqs, tokens, tp = (
        number(parameters, n) for n in ("max-num-seqs", "max-num-batched-tokens", "tp")
    )
    if tp == 1 and seqs * tokens > 2**20:
        return None
    running = min(seqs, concurrency)
    eager = 1.25 if parameters["enforce-eager"] else 1.0
    step_s = eager * (0.012 + 0.00022 * running) / tp**0.6
    stall_s = 0.0000021 * tokens / tp**0.9
    tpot_s = step_s + stall_s
    wait = 1 + 0.35 * math.log2(16384 / tokens)
    per_gpu = running / (tpot_s + 0.0006 * wait) / tp
    return {"output_throughput_tok_s_per_gpu": per_gpu, "tpot_s_p99": 1.35 * tpot_s}


def ridge(parameters: Parameters, concurrency: int) -> Shown:
    """Tokens have to suit sequences, and one of the backends is best only with short blocks."""
    seqs, tokens, tp = (
        number(parameters, n) for n in ("max-num-seqs", "max-num-batched-tokens", "tp")
    )
    backend, block = parameters["backend"], number(parameters, "block-size")
    if backend == "third" and block > 32:
        return None
    if parameters["kv"] == "auto" and seqs * 12 > 4000 * tp:
        return None
    suit = math.exp(-(((math.log2(tokens) - math.log2(seqs) - 5) / 2.2) ** 2))
    size = 1 - 0.05 * (math.log2(seqs) - 8.5) ** 2
    kind = {"first": 0.82, "second": 0.9, "third": 1.0}[str(backend)]
    across = {1: 0.8, 2: 1.0, 4: 0.93, 8: 0.75}[int(tp)]
    running = min(seqs, concurrency)
    filled = running / (running + 48)
    per_gpu = 2500 * (0.35 + 0.65 * suit) * max(size, 0.2) * kind * across * filled
    return {"output_throughput_tok_s_per_gpu": per_gpu, "tpot_s_p99": running / per_gpu / tp}


SEQS, TOKENS = (16, 32, 64, 128, 256, 512, 1024), (1024, 2048, 4096, 8192, 16384)
SURFACES = (
    Surface(
        "saturating",
        {
            "tp": (1, 2, 4, 8),
            "max-num-seqs": SEQS,
            "max-num-batched-tokens": TOKENS,
            "gpu-memory-utilization": (0.8, 0.85, 0.9, 0.95),
        },
        saturating,
    ),
    Surface(
        "under a limit",
        {
            "tp": (1, 2, 4, 8),
            "max-num-seqs": (16, 32, 48, 64, 96, 128, 192, 256, 384, 512),
            "max-num-batched-tokens": (*TOKENS, 32768),
            "enforce-eager": (True, False),
        },
        under_a_limit,
        (SLO,),
    ),
    Surface(
        "ridge",
        {
            "tp": (1, 2, 4, 8),
            "max-num-seqs": SEQS,
            "max-num-batched-tokens": TOKENS,
            "backend": ("first", "second", "third"),
            "block-size": (16, 32, 64),
            "kv": ("auto", "fp8"),
        },
        ridge,
    ),
)


@dataclass(frozen=True)
class Search:
    """What one search took."""

    asked: int
    """Until one was near enough, that one included."""
    crashed: int
    """Of these."""


def search(surface: Surface, strategy: str, seed: int, slots: int, noise: float) -> Search:
    candidates = surface.candidates()
    by_id = {candidate.id: candidate for candidate in candidates}
    values = {one.id: surface.value(one) for one in candidates}
    best = max(value for value in values.values() if value is not None)
    # Shuffled, so that no strategy gains by the order in which the axes are written.
    order = random.Random(1000 + seed).sample(candidates, len(candidates))
    problem = Problem(
        tuple(order), Judging(OBJECTIVE, surface.constraints), Searching(strategy, seed=seed)
    )
    searching, draw = load_strategy(strategy)(problem), random.Random(seed)
    running: list[str] = []
    asked = crashed = 0
    while True:
        for ask in searching.ask(slots - len(running)):
            asked += 1
            running.append(ask.candidate)
            value = values[ask.candidate]
            crashed += surface.show(by_id[ask.candidate].parameters, 1) is None
            if value is not None and value >= (1 - NEAR_ENOUGH) * best:
                return Search(asked, crashed)
        # Experiments take unequally long.
        done = by_id[running.pop(draw.randrange(len(running)))]
        searching.tell(told(surface, done, draw, noise))


def told(surface: Surface, candidate: Candidate, draw: random.Random, noise: float) -> Told:
    shown = surface.show(candidate.parameters, LEVEL.concurrency)
    if shown is None:
        return Told(candidate.id, {}, Ended.FAILED)
    noisy: dict[str, object] = {k: v * math.exp(draw.gauss(0, noise)) for k, v in shown.items()}
    return Told(candidate.id, {LEVEL: noisy}, Ended.COMPLETED)


def table(arguments: argparse.Namespace) -> Iterator[dict[str, object]]:
    for surface in SURFACES:
        if arguments.surfaces and surface.name not in arguments.surfaces:
            continue
        values = [surface.value(candidate) for candidate in surface.candidates()]
        crashes = sum(surface.show(one.parameters, 1) is None for one in surface.candidates())
        best = max(value for value in values if value is not None)
        near = sum(value is not None and value >= (1 - NEAR_ENOUGH) * best for value in values)
        share = {"crash": crashes / len(values), "no value": values.count(None) / len(values)}
        shares = ", ".join(f"{name} {100 * part:.0f} %" for name, part in share.items())
        print(f"\n{surface.name}: {len(values)} candidates, {near} near enough; {shares}")
        print(f"{'':10}{'mean':>8}{'median':>8}{'p90':>8}{'crashes':>9}{'CPU s':>8}")
        for strategy in arguments.strategies:
            started = time.process_time()
            found = [
                search(surface, strategy, seed, arguments.slots, arguments.noise)
                for seed in range(arguments.seeds)
            ]
            cpu_s = (time.process_time() - started) / arguments.seeds
            shares_asked = [100 * one.asked / len(values) for one in found]
            crashed = sum(one.crashed for one in found) / sum(one.asked for one in found)
            row = {
                "surface": surface.name,
                "strategy": strategy,
                "mean": statistics.fmean(shares_asked),
                "median": statistics.median(shares_asked),
                "p90": statistics.quantiles(shares_asked, n=10)[8],
                "crashed": 100 * crashed,
            }
            print(
                f"{strategy:10}{row['mean']:>6.1f} %{row['median']:>6.1f} %{row['p90']:>6.1f} %"
                f"{row['crashed']:>7.0f} %{cpu_s:>8.2f}"
            )
            yield row


def cost(strategy: str) -> float:
    """CPU seconds of all decisions of a search of 1,000 candidates with 8 slots, to its end."""
    surface = SURFACES[-1]
    candidates = surface.candidates()[:1000]
    problem = Problem(candidates, Judging(OBJECTIVE), Searching(strategy))
    by_id, draw = {candidate.id: candidate for candidate in candidates}, random.Random(0)
    started = time.process_time()
    searching = load_strategy(strategy)(problem)
    running: list[str] = []
    while True:
        running += [ask.candidate for ask in searching.ask(8 - len(running))]
        if not running:
            return time.process_time() - started
        searching.tell(told(surface, by_id[running.pop(0)], draw, noise=0.03))


def main() -> int:
    parser = argparse.ArgumentParser(description="Experiments until within 5 % of the best.")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--slots", type=int, default=1, help="experiments at once (1)")
    parser.add_argument("--noise", type=float, default=0.03, help="coefficient of variation (0.03)")
    parser.add_argument("--strategies", nargs="+", default=["random", "sobol", "tpe"])
    parser.add_argument("--surfaces", nargs="+", choices=[surface.name for surface in SURFACES])
    parser.add_argument("--cost", action="store_true", help="CPU time of 1,000 decisions instead")
    arguments = parser.parse_args()
    if arguments.cost:
        for strategy in arguments.strategies:
            print(f"{strategy:10}{cost(strategy):>8.1f} CPU s")
        return 0
    rows = list(table(arguments))
    print(json.dumps({"seeds": arguments.seeds, "slots": arguments.slots, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
