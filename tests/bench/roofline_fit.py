"""Fits the constants of the roofline estimator to published measurements.

    python tests/bench/roofline_fit.py --data FILE [--families llama minimax]

Prints the constants that stand in ``autotuner/search/estimators/roofline.py``. Every family and
engine counts alike, however many points it has. Rows whose parallel layout cannot be what was
measured are left out: attention replicas of tensor groups, and more than 8 GPUs.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
from replay_estimators import public_architecture
from replay_points import Point, read_points
from scipy.optimize import least_squares

from autotuner.search.estimators.base import Estimate
from autotuner.search.estimators.roofline import EFFICIENCY, Roofline
from autotuner.search.estimators.step_times import Efficiency

FAMILIES = ("llama", "minimax")
_TTFT_WEIGHT, _TTFT_CLIP = 0.4, 1.5
_SHARES = {"memory": 0.95, "compute": 0.9, "links": 0.9, "interruption": 1.0}
"""The largest plausible ones."""
_RANGE = 100.0
"""Other constants stay within this factor of where they start."""


def fit(points: Sequence[Point]) -> Efficiency:
    """Constants with the least robust errors of the logarithms of TPOT and TTFT."""
    counts = Counter((p.scenario.family, p.arm.backend) for p in points)
    weights = [counts[p.scenario.family, p.arm.backend] ** -0.5 for p in points]
    names = [field.name for field in fields(Efficiency)]
    start = np.log([min(v, 0.9 * _SHARES.get(n, np.inf)) for n, v in asdict(EFFICIENCY).items()])
    largest = np.log([_SHARES.get(name, np.inf) for name in names])

    def efficiency(logs: np.ndarray) -> Efficiency:
        return Efficiency(**dict(zip(names, map(float, np.exp(logs)), strict=True)))

    def errors(logs: np.ndarray) -> np.ndarray:
        roofline = Roofline(public_architecture, efficiency(logs))
        found = []
        for point, weight in zip(points, weights, strict=True):
            said = roofline.estimate(point.subject, point.load)
            assert isinstance(said, Estimate)
            ttft = np.clip(np.log(said.ttft_s / point.ttft_s), -_TTFT_CLIP, _TTFT_CLIP)
            found += [
                weight * np.log(said.tpot_s / point.tpot_s),
                weight * _TTFT_WEIGHT * ttft,
            ]
        return np.array(found)

    bounds = (start - np.log(_RANGE), np.minimum(start + np.log(_RANGE), largest))
    solved = least_squares(errors, start, bounds=bounds, loss="soft_l1", f_scale=0.02)
    return efficiency(solved.x)


def plausible(point: Point) -> bool:
    """Whether the layout can be the one that was measured."""
    return point.arm.gpus <= 8 and (point.arm.dp == 1 or point.arm.tp == 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--families", nargs="+", default=FAMILIES)
    arguments = parser.parse_args()
    points = [
        point
        for point in read_points(arguments.data)
        if point.scenario.family in arguments.families and plausible(point)
    ]
    print(f"fitted to {len(points)} points of {', '.join(arguments.families)}")
    for name, value in asdict(fit(points)).items():
        print(f"    {name}={value:.3g},")


if __name__ == "__main__":
    main()
