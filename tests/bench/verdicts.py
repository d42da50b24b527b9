"""How often verdicts are right, over simulated studies whose true best is known.

Each study has 24 configurations. They are measured as the driver does it: the grid once, the
baseline twice, then rounds of `next_repeats` until all is decided, or nobody may be measured once
more, or all repeats together have cost as much as the grid. A second table compares intervals of
one configuration from 2 to 5 servers.

Prints tables, and one JSON object as its last line. The exit code is 1 where, in any row, the
declared set holds the true best in less than 95 % of the studies, or more than 5 % of them
declare a false winner.

Usage: python tests/bench/verdicts.py [--studies 200] [--seed 1] [--by-shape] [--full]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product

import numpy as np

from autotuner.results.confidence.intervals import Interval, interval
from autotuner.results.confidence.noise import pooled_noise, summarise
from autotuner.results.confidence.repeats import next_repeats
from autotuner.results.confidence.verdict import Verdict, VerdictKind, judge
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Direction, Objective

CONFIGURATIONS = 24
MINIMAL_EFFECT = 0.02
SHAPES = ("near ties", "clear winner", "plateau", "all within 0.2 %")
NOISES = ("log-normal", "heavy tails", "unequal")
CVS = (0.003, 0.01, 0.02, 0.05, 0.10, 0.20)
SETTINGS = {(8, 5): NOISES, (8, 10): ("unequal",), (1, 5): ("unequal",)}
"""Slots and most servers per configuration -> noises; the hardest one where that is enough."""
REQUIRED = 0.95
OBJECTIVE = Objective("t", "output_throughput_tok_s", Direction.MAXIMIZE)


def true_values(shape: str, random: np.random.Generator) -> np.ndarray:
    """Throughputs; the best is near 1000."""
    if shape == "near ties":  # a smooth surface over 4 x 6 settings, a few percent about its top
        rows, columns = np.meshgrid(np.arange(4), np.arange(6), indexing="ij")
        top = random.uniform(0, (3, 5))
        steep = random.uniform(0.005, 0.03, 2)
        loss = steep[0] * (rows - top[0]) ** 2 + steep[1] * (columns - top[1]) ** 2
        values = 1 / (1 + loss.ravel())
    elif shape == "clear winner":
        values = 1 - random.uniform(0.05, 0.10) - random.uniform(0, 0.4, CONFIGURATIONS)
        values[0] = 1
    elif shape == "plateau":  # five equal ones are the best
        values = 1 - random.uniform(0, 0.4, CONFIGURATIONS)
        values[:5] = 1
    else:  # many might be better than the best by chance
        values = 1 - random.uniform(0, 0.002, CONFIGURATIONS)
    return 1000 * random.permutation(values)


def noise_table(kind: str, cv: float, most: int, random: np.random.Generator) -> np.ndarray:
    """Logarithms of what each configuration's servers differ by: one row per configuration."""
    size = (CONFIGURATIONS, most)
    if kind == "heavy tails":  # Student's t of 4 degrees of freedom, brought to variance 1
        return np.asarray(cv * random.standard_t(4, size) / np.sqrt(2))
    table = np.asarray(cv * random.standard_normal(size))
    if kind == "unequal":  # the noisiest has three times the noise of the quietest
        table *= 3 ** random.uniform(-0.5, 0.5, (CONFIGURATIONS, 1))
    return table


@dataclass(frozen=True)
class Study:
    true: dict[str, float]
    first: dict[str, float]
    """What the grid measured, each configuration once."""
    verdict: Verdict
    extra: int
    """Servers started beyond the grid and the baseline's second one."""


def run_study(true: np.ndarray, logs: np.ndarray, slots: int, most: int) -> Study:
    ids = [f"c{i:02}" for i in range(len(true))]
    values = dict(zip(ids, (true[:, None] * np.exp(logs)).tolist(), strict=True))
    samples = {key: row[:1] for key, row in values.items()}
    samples[ids[0]] = values[ids[0]][:2]  # the baseline
    chosen_next = partial(
        next_repeats,
        direction=Direction.MAXIMIZE,
        minimal_effect=MINIMAL_EFFECT,
        most_servers=most,
        slots=slots,
    )
    extra, allowed = 0, Judging(OBJECTIVE, finalist_servers=most).most_repeats(len(true))
    while chosen := chosen_next(samples)[: allowed - extra]:
        for key in chosen:
            samples[key].append(values[key][len(samples[key])])
        extra += len(chosen)
    return Study(
        dict(zip(ids, true.tolist(), strict=True)),
        {key: row[0] for key, row in values.items()},
        judge(samples, Direction.MAXIMIZE, minimal_effect=MINIMAL_EFFECT, most_servers=most),
        extra,
    )


@dataclass
class Row:
    """Counts over the studies of one kind, but for ``extra`` and ``set_size``: sums."""

    studies: int = 0
    contains_best: int = 0
    """The true best is the leader, or tied with it, or undecided."""
    false_winner: int = 0
    """A winner is declared, and another one is truly better."""
    false_beaten: int = 0
    """Some rival counts as beaten and is truly as good as the leader, or better."""
    false_tie: int = 0
    """Some rival counts as tied and is truly worse by more than the minimal effect."""
    bounds_hold: int = 0
    """All true advantages of the leader, and what it truly may cost, lie within their bounds."""
    decided: int = 0
    winner: int = 0
    safe: int = 0
    """The verdict says that no rival is better than the leader by more than what matters."""
    leader_near: int = 0
    """The leader is within the minimal effect of the true best."""
    naive_best: int = 0
    """The best single measurement is the true best."""
    naive_near: int = 0
    extra: int = 0
    set_size: int = 0

    def add(self, study: Study) -> None:
        verdict, true, leader = study.verdict, study.true, study.verdict.leader
        assert leader is not None
        best = max(true.values())
        declared = {leader, *verdict.tied_with, *verdict.undecided}
        naive = max(study.first, key=lambda key: study.first[key])
        advantages = {key: true[leader] / value - 1 for key, value in true.items()}
        self.studies += 1
        self.contains_best += any(true[key] == best for key in declared)
        self.false_winner += verdict.kind is VerdictKind.WINNER and true[leader] < best
        self.false_beaten += any(advantages[key] <= 0 for key in set(true) - declared)
        self.false_tie += any(advantages[key] > MINIMAL_EFFECT for key in verdict.tied_with)
        self.bounds_hold += all(
            bounds.low is None
            or bounds.high is None
            or bounds.low <= advantages[key] <= bounds.high
            for key, bounds in verdict.advantages.items()
        ) and (verdict.shortfall is None or best / true[leader] - 1 <= verdict.shortfall)
        self.decided += verdict.kind is not VerdictKind.NOT_ENOUGH_EVIDENCE
        self.winner += verdict.kind is VerdictKind.WINNER
        self.safe += verdict.shortfall is not None and verdict.shortfall <= MINIMAL_EFFECT
        self.leader_near += best / true[leader] - 1 <= MINIMAL_EFFECT
        self.naive_best += true[naive] == best
        self.naive_near += best / true[naive] - 1 <= MINIMAL_EFFECT
        self.extra += study.extra
        self.set_size += len(declared)

    @property
    def is_right(self) -> bool:
        wrong = max(self.studies - self.contains_best, self.false_winner)
        return wrong <= (1 - REQUIRED) * self.studies

    def cells(self) -> str:
        share = {name: 100 * count / self.studies for name, count in asdict(self).items()}
        shares = " ".join(f"{share[name]:{max(5, len(head))}.1f}" for name, head in SHARES.items())
        means = f"{self.extra / self.studies:6.1f} {self.set_size / self.studies:6.1f}"
        return f"{shares} {means}{'' if self.is_right else '  WRONG TOO OFTEN'}"


SHARES = {
    "contains_best": "set has best",
    "false_winner": "false winner",
    "false_beaten": "false beaten",
    "false_tie": "false tie",
    "bounds_hold": "bounds hold",
    "decided": "decided",
    "winner": "winner",
    "safe": "safe",
    "leader_near": "near best",
    "naive_best": "naive best",
    "naive_near": "naive near",
}
HEADER = " ".join(f"{head:>5}" for head in SHARES.values()) + "  extra    set"


Kind = tuple[int, int, str, str, float]
"""Slots, most servers, shape, noise, coefficient of variation."""


def kinds(full: bool) -> list[Kind]:
    return [
        (*setting, *rest)
        for setting, noises in SETTINGS.items()
        for rest in product(SHAPES, NOISES if full else noises, CVS)
    ]


def simulate(kinds: list[Kind], studies: int, seed: int) -> dict[Kind, Row]:
    rows = {}
    for kind in kinds:
        slots, most, shape, noise, cv = kind
        # The same studies for every setting: their rows can be compared.
        random = np.random.default_rng(
            [seed, SHAPES.index(shape), NOISES.index(noise), CVS.index(cv)]
        )
        row = rows[kind] = Row()
        for _ in range(studies):
            true = true_values(shape, random)
            logs = noise_table(noise, cv, max(most for _, most in SETTINGS), random)
            row.add(run_study(true, logs, slots, most))
    return rows


def merged(rows: Iterable[Row]) -> Row:
    total = Row()
    for row in rows:
        for name, count in asdict(row).items():
            setattr(total, name, getattr(total, name) + count)
    return total


def print_studies(rows: dict[Kind, Row], by_shape: bool) -> None:
    print("Percent of the studies; extra: servers per study; set: configurations in the set.")
    first = SHAPES if by_shape else NOISES
    groups: dict[tuple[object, ...], list[Row]] = {}
    for slots, most, shape, noise, cv in rows:
        key = (slots, most, shape if by_shape else noise, cv)
        groups.setdefault(key, []).append(rows[slots, most, shape, noise, cv])
    for (slots, most), name, cv in product(SETTINGS, first, CVS):
        if (name, cv) == (first[0], CVS[0]):
            print(f"\n{slots} slots, at most {most} servers each\n{'':29}{HEADER}")
        if group := groups.get((slots, most, name, cv)):
            print(f"{name:<16} CV {100 * cv:4.1f} %   {merged(group).cells()}")
    worst = min(rows, key=lambda kind: rows[kind].contains_best)
    print(f"\nleast often in the set, of {len(rows)} kinds of study: {worst}\n{'':29}{HEADER}")
    print(f"{'':29}{rows[worst].cells()}")


def interval_coverage(seed: int, count: int = 2000) -> dict[str, dict[str, float]]:
    """How often intervals of one configuration hold its true value, and how wide they are.

    The configuration is one of eight that were measured on as many servers each.
    """
    random = np.random.default_rng(seed)
    result: dict[str, dict[str, float]] = {}
    for noise, servers in product(NOISES, (2, 3, 4, 5)):
        table: dict[str, list[tuple[bool, float]]] = {"moderated": [], "own": [], "bootstrap": []}
        for _ in range(count):
            values = np.exp(noise_table(noise, 0.02, servers, random)[:8])
            own = values[random.integers(8)].tolist()
            pooled = pooled_noise([summarise(row) for row in values.tolist()])
            means = np.mean(random.choice(own, (500, servers)), axis=1)
            for name, bounds in (
                ("moderated", interval(own, noise=pooled)),
                ("own", interval(own)),
                ("bootstrap", Interval(1.0, *np.quantile(means, (0.025, 0.975)).tolist())),
            ):
                low, high = bounds.low or 0.0, bounds.high or np.inf
                table[name].append((low <= 1 <= high, high - low))
        cells = result[f"{noise}, {servers} servers"] = {}
        for name, entries in table.items():
            cells[f"{name}_holds"] = 100 * float(np.mean([holds for holds, _ in entries]))
            cells[f"{name}_width"] = 100 * float(np.median([width for _, width in entries]))
    return result


def print_intervals(table: dict[str, dict[str, float]]) -> None:
    print("\n95 % intervals of one configuration, noise 2 %: percent that hold, median width in %")
    names = {"moderated": "t, moderated", "own": "t, own variance", "bootstrap": "bootstrap"}
    print(f"{'':24}" + "".join(f"{name:>18}" for name in names.values()))
    for kind, cells in table.items():
        texts = (f"{cells[f'{n}_holds']:.1f} ({cells[f'{n}_width']:.1f})" for n in names)
        print(f"{kind:<24}" + "".join(f"{text:>18}" for text in texts))


def main() -> int:
    parser = argparse.ArgumentParser(description="How often verdicts are right.")
    parser.add_argument("--studies", type=int, default=200, help="of each kind (200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--by-shape", action="store_true", help="rows by shape, not by noise")
    parser.add_argument("--full", action="store_true", help="every noise in every setting")
    arguments = parser.parse_args()
    started = time.process_time()
    rows = simulate(kinds(arguments.full), arguments.studies, arguments.seed)
    print_studies(rows, arguments.by_shape)
    intervals = interval_coverage(arguments.seed)
    print_intervals(intervals)
    summary = {
        "studies_per_kind": arguments.studies,
        "kinds": len(rows),
        "least_set_has_best": min(row.contains_best / row.studies for row in rows.values()),
        "most_false_winner": max(row.false_winner / row.studies for row in rows.values()),
        "least_bounds_hold": min(row.bounds_hold / row.studies for row in rows.values()),
        "all_right": all(row.is_right for row in rows.values()),
        "cpu_s": round(time.process_time() - started, 1),
        "rows": [{"kind": kind, **asdict(row)} for kind, row in rows.items()],
        "intervals": intervals,
    }
    print(json.dumps(summary))
    return 0 if summary["all_right"] else 1


if __name__ == "__main__":
    sys.exit(main())
