from __future__ import annotations

import math

import numpy as np
import pytest
from unit.search.curves import LEVELS, candidate, problem, row

from autotuner.search.axes import Axes
from autotuner.search.base import Problem
from autotuner.search.curve_prior import prior_of
from autotuner.search.surrogate import Surrogate
from autotuner.search.targets import Targets, targets_of
from autotuner.search.yardstick import Floats, yardstick

CANDIDATES = [
    candidate(f"{engine}-{tp}", gpus=tp, engine=engine, tp=tp)
    for engine in ("a", "b")
    for tp in (1, 2, 4, 8)
]


def made(asked: Problem) -> tuple[Surrogate, Targets]:
    targets = targets_of(asked, yardstick(asked.judging.objective, asked.judging.constraints))
    axes = Axes([{k: v for k, v in one.parameters.items() if k != "name"} for one in CANDIDATES])
    return Surrogate(targets, axes, prior_of(asked, targets)), targets


def logs(targets: Targets, index: int, speed: float, places: range = range(len(LEVELS))) -> Floats:
    gpus = CANDIDATES[index].gpus
    return np.array([targets.yardstick.logs(row(LEVELS[p], speed, gpus=gpus)) for p in places])


def learned(*speeds: tuple[int, float]) -> tuple[Surrogate, Targets]:
    """After all levels of these candidates, of these speeds."""
    model, targets = made(problem(*CANDIDATES, floor_tok_s=40))
    i = np.repeat([index for index, _ in speeds], len(LEVELS))
    p = np.tile(np.arange(len(LEVELS)), len(speeds))
    model.learn(i, p, np.concatenate([logs(targets, *one) for one in speeds]))
    return model, targets


EVERY = np.arange(len(CANDIDATES))


def test_what_was_measured_is_believed() -> None:
    model, targets = learned((0, 80.0))
    found = model.predict(np.array([0]))
    assert found.mean[0] == pytest.approx(logs(targets, 0, 80.0), abs=0.1)
    assert found.variance[0].max() * found.scale[0, 0] < 0.01


def test_one_measured_server_tells_the_height_of_all() -> None:
    before, _ = made(problem(*CANDIDATES, floor_tok_s=40))
    after, targets = learned((0, 80.0))
    assert after.predict(EVERY).variance.max() < 0.2 * before.predict(EVERY).variance.min()
    expected = logs(targets, 4, 80.0)
    assert after.predict(np.array([4])).mean[0] == pytest.approx(expected, abs=0.5)


def test_a_slow_engine_is_slow_with_other_parallel_sizes_too() -> None:
    model, _ = learned((0, 100.0), (1, 100.0), (4, 30.0))
    fast, slow = (model.predict(np.array([i])).mean[0, :, 0].mean() for i in (2, 6))
    assert slow < fast - math.log(1.5)


def test_doubt_grows_with_the_distance_from_what_was_measured() -> None:
    model, _ = learned((0, 100.0))
    doubt = model.predict(np.arange(4)).variance.mean(axis=1)
    assert (np.diff(doubt) > 0).all()


def test_what_runs_lessens_doubt_and_teaches_no_scale() -> None:
    model, targets = learned((0, 100.0))
    seen, scale = np.zeros(len(LEVELS), dtype=int), model.scale.copy()
    doubt = model.predict(np.array([5])).variance.mean()
    more = np.concatenate([logs(targets, 0, 100.0), logs(targets, 4, 500.0, range(3, 4))])
    model.learn(np.append(seen, 4), np.append(np.arange(len(LEVELS)), 3), more, imagined=1)
    assert model.predict(np.array([5])).variance.mean() < doubt
    assert np.array_equal(model.scale, scale)


def test_columns_go_together() -> None:
    """A server that is quicker than expected has more throughput and less latency."""
    model, _ = learned((0, 100.0), (3, 20.0), (5, 400.0))
    assert model.scale[0, 1] < -0.5 * math.sqrt(model.scale[0, 0] * model.scale[1, 1])


def test_how_large_effects_are_is_learned_from_what_was_measured() -> None:
    tame, _ = learned(*((i, 100.0) for i in range(8)))
    wild, _ = learned(*((i, 100.0 * 4.0 ** (-1) ** i) for i in range(8)))
    assert wild.scale[0, 0] > 2 * tame.scale[0, 0]


def test_a_missing_column_does_not_spoil_the_others() -> None:
    model, targets = made(problem(*CANDIDATES, floor_tok_s=40))
    known = logs(targets, 0, 80.0)
    known[2, 1] = math.nan
    model.learn(np.zeros(len(LEVELS), dtype=int), np.arange(len(LEVELS)), known)
    assert np.isfinite(model.predict(EVERY).mean).all()
    assert model.predict(np.array([0])).mean[0, :, 0] == pytest.approx(known[:, 0], abs=0.1)


def test_a_servers_belief_is_what_the_model_says_of_it() -> None:
    model, _ = learned((0, 80.0), (5, 40.0))
    belief, found = model.belief(2), model.predict(np.array([2]))
    assert np.array(belief.mean) == pytest.approx(found.mean[0])
    assert np.diagonal(np.array(belief.covariance)) == pytest.approx(found.variance[0])
    assert np.linalg.eigvalsh(np.array(belief.covariance)).min() > -1e-9


def test_which_parameter_counts_is_learned() -> None:
    model, targets = made(problem(*CANDIDATES))
    i = np.repeat(EVERY, len(LEVELS))
    p = np.tile(np.arange(len(LEVELS)), len(CANDIDATES))
    speeds = [300.0 if index < 4 else 30.0 for index in EVERY]
    seen = np.concatenate([logs(targets, k, speed) for k, speed in enumerate(speeds)])
    model.learn_relevance(i, p, seen)
    assert model.relevance.axes.argmax() == 0  # engine, then tp
