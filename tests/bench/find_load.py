"""How many levels it takes to find a load, and how often its bracket holds the truth.

Servers that keep a limit up to a known load, and reach it as a power of the load; levels scatter.
Pure arithmetic: nothing is started. Prints a table; decides nothing.

Usage: python tests/bench/find_load.py
"""

from __future__ import annotations

import math
import random
from statistics import mean

from autotuner.results.found_load import FoundLoad
from autotuner.search.find_load import LoadSearch
from autotuner.search.level_plans import Seen
from autotuner.spec.objective import Constraint
from autotuner.spec.workload import LoadRange

LIMIT = 0.05
CONSTRAINTS = (Constraint("tpot_s", "p95", LIMIT),)
SPAN = LoadRange(1, 512)
SERVERS = 1500
POWERS = (0.3, 1.0, 2.0)
SCATTER = (0.01, 0.02, 0.05)
NEAR = 0.3
"""Standard deviation of the logarithm of a start over the answer."""


def found(
    draws: random.Random, capacity: float, power: float, scatter: float, start: int | None
) -> tuple[FoundLoad, int]:
    """What a search finds, and how many levels it takes."""
    search = LoadSearch("chat", "D(1,1)", SPAN, CONSTRAINTS, start)
    seen: list[Seen] = []
    while (level := search.next(seen)) is not None:
        value = LIMIT * (level.concurrency / capacity) ** power
        value *= math.exp(draws.gauss(0, scatter))
        seen.append(Seen(level, {"tpot_s_p95": value}, ok=True))
    return search.found(seen), len(seen)


def main() -> None:
    print("start     scatter  power  levels  most  bracket holds the truth")
    for near in (False, True):
        for scatter in SCATTER:
            for power in POWERS:
                draws, held, levels = random.Random(1), 0, []
                for _ in range(SERVERS):
                    capacity = math.exp(draws.uniform(0.01, math.log(500)))
                    expected = max(1, round(capacity * math.exp(draws.gauss(0, NEAR))))
                    load, count = found(draws, capacity, power, scatter, expected if near else None)
                    held += (load.low or 0) <= capacity < (load.high or math.inf)
                    levels.append(count)
                print(
                    f"{'near' if near else 'at 1':8} {100 * scatter:6.0f} %  {power:5.1f}  "
                    f"{mean(levels):6.1f}  {max(levels):4}  {100 * held / SERVERS:.1f} %"
                )


if __name__ == "__main__":
    main()
