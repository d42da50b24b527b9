"""How well estimators rank server configurations, and how far their numbers are off.

    python tests/bench/estimator_ranking.py --data FILE [--arms 8] [--estimators NAME ...]

For every scenario (model, GPU, precision, input and output length) with enough arms (engine and
parallel layout), an arm's worth is its best output throughput per GPU over its levels, under a
floor of tokens per second and user. Printed per estimator, floor and model family: Spearman's rank
correlation, the predicted rank of the first arm within 5 % of the best, what the arm predicted as
best reaches of the best, and the errors of TTFT and TPOT. The estimator of earlier results has seen
other families only. The constants of the roofline were fitted to Llama and MiniMax.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from replay_estimators import KINDS, Kind, ReplayEstimators
from replay_points import Arm, Point, Scenario, read_points
from scipy.stats import norm, spearmanr

from autotuner.search.estimators.base import Estimate

FLOORS_TOK_S = (0, 20, 40)
CALIBRATION_FAMILIES = {"llama", "minimax"}
_GOOD = 0.95


@dataclass(frozen=True, slots=True)
class Ranked:
    """How an estimator ordered the arms of a scenario."""

    spearman: float
    first_good: int
    """Predicted rank, from 1, of the first arm within 5 % of the best."""
    top: float
    """What the arm predicted as best reaches of the best."""


Said = dict[Point, Estimate]


def ranked(said: Said, floor_tok_s: float) -> Ranked | None:
    """How the arms of one scenario are ordered; None where no arm keeps the floor."""
    true: dict[Arm, float] = {}
    predicted: dict[Arm, float] = {}
    for point, estimate in said.items():
        keeps = floor_tok_s * point.tpot_s <= 1
        value = point.throughput_tok_s / point.arm.gpus if keeps else 0.0
        true[point.arm] = max(true.get(point.arm, 0.0), value)
        expected = (
            estimate.output_throughput_tok_s / point.arm.gpus * _chance(estimate, floor_tok_s)
        )
        predicted[point.arm] = max(predicted.get(point.arm, 0.0), expected)
    best = max(true.values())
    if not best:
        return None
    order = sorted(predicted, key=lambda arm: -predicted[arm])
    first = next(i for i, arm in enumerate(order, start=1) if true[arm] >= _GOOD * best)
    rank = spearmanr([predicted[arm] for arm in order], [true[arm] for arm in order])[0]
    return Ranked(float(rank), first, true[order[0]] / best)


def _chance(estimate: Estimate, floor_tok_s: float) -> float:
    """Probability that a level keeps the floor."""
    if not floor_tok_s:
        return 1.0
    return float(norm.cdf(-np.log(floor_tok_s * estimate.tpot_s) / estimate.tpot_sigma))


def scenarios(points: Iterable[Point]) -> dict[Scenario, list[Point]]:
    found: dict[Scenario, list[Point]] = {}
    for point in points:
        found.setdefault(point.scenario, []).append(point)
    return found


def judge(
    points: Sequence[Point], kind: Kind, fewest_arms: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rankings, one row per scenario and floor; errors, one row per point."""
    estimators = ReplayEstimators(points)
    rankings, errors = [], []
    for scenario, own in scenarios(points).items():
        estimator = estimators.of(kind, scenario.family)
        answers = {point: estimator.estimate(point.subject, point.load) for point in own}
        said = {p: e for p, e in answers.items() if isinstance(e, Estimate)}
        errors += [_errors(point, said.get(point)) for point in own]
        if len({point.arm for point in said}) < fewest_arms:
            continue
        for floor in FLOORS_TOK_S:
            if (found := ranked(said, floor)) is not None:
                rankings.append(
                    {
                        "family": scenario.family,
                        "floor": floor,
                        "spearman": found.spearman,
                        "first_good": found.first_good,
                        "top": found.top,
                    }
                )
    return pd.DataFrame(rankings), pd.DataFrame(errors)


def _errors(point: Point, estimate: Estimate | None) -> dict[str, object]:
    row: dict[str, object] = {"family": point.scenario.family, "scenario": point.scenario}
    if estimate is None:
        return row
    throughput = estimate.output_throughput_tok_s
    return row | {
        "ttft": abs(estimate.ttft_s / point.ttft_s - 1),
        "tpot": abs(estimate.tpot_s / point.tpot_s - 1),
        "ttft_z": np.log(estimate.ttft_s / point.ttft_s) / estimate.ttft_sigma,
        "tpot_z": np.log(estimate.tpot_s / point.tpot_s) / estimate.tpot_sigma,
        "throughput_log": np.log(throughput / point.throughput_tok_s),
        "throughput_z": np.log(throughput / point.throughput_tok_s) / estimate.throughput_sigma,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--arms", type=int, default=8, help="fewest arms of a scenario")
    parser.add_argument(
        "--estimators", nargs="+", default=KINDS, choices=[*KINDS, "aiconfigurator"]
    )
    arguments = parser.parse_args()
    points = read_points(arguments.data)
    summary = {}
    for kind in arguments.estimators:
        rankings, errors = judge(points, kind, arguments.arms)
        print(f"\n== {kind}: ranking ({len(rankings) // len(FLOORS_TOK_S)} scenarios)")
        columns = ["spearman", "first_good", "top"]
        if rankings.empty:
            print("too few points are known of any scenario")
            continue
        print(_by_family(rankings, ["floor"], columns))
        print(f"== {kind}: errors of {errors['tpot'].notna().sum()} of {len(errors)} points")
        print(_error_table(errors))
        held_out = rankings[~rankings["family"].isin(CALIBRATION_FAMILIES)]
        summary[kind] = {
            f"{name}_{floor}": round(float(rows[name].mean()), 3)
            for floor, rows in held_out.groupby("floor")
            for name in columns
        }
    print(json.dumps(summary))


def _by_family(frame: pd.DataFrame, keys: list[str], columns: list[str]) -> str:
    named = frame.assign(family=[_named(family) for family in frame["family"]])
    each = named.groupby([*keys, "family"])[columns].mean()
    return f"{each.round(3).to_string()}\n{frame.groupby(keys)[columns].mean().round(3)}"


def _error_table(errors: pd.DataFrame) -> str:
    named = errors.assign(family=[_named(family) for family in errors["family"]])
    known = named[named["tpot"].notna()]
    table = known.groupby("family").agg(
        points=("tpot", "size"),
        ttft_median=("ttft", "median"),
        ttft_mean=("ttft", "mean"),
        tpot_median=("tpot", "median"),
        tpot_mean=("tpot", "mean"),
        throughput_log_sd=("throughput_log", "std"),
        ttft_z=("ttft_z", _root_mean_square),
        tpot_z=("tpot_z", _root_mean_square),
        throughput_z=("throughput_z", _root_mean_square),
    )
    return table.round(2).to_string()


def _root_mean_square(values: pd.Series) -> float:
    return float(np.sqrt((values**2).mean()))


def _named(family: str) -> str:
    return f"{family} (fitted)" if family in CALIBRATION_FAMILIES else family


if __name__ == "__main__":
    main()
