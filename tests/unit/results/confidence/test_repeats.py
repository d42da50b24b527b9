"""Which configurations are measured once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from autotuner.results.confidence.repeats import next_repeats
from autotuner.results.confidence.verdict import Verdict, VerdictKind, judge
from autotuner.spec.objective import Direction

Samples = Mapping[str, Sequence[float]]


def chosen(samples: Samples, *, most: int = 5, slots: int = 8) -> tuple[str, ...]:
    return next_repeats(
        samples, Direction.MAXIMIZE, minimal_effect=0.02, most_servers=most, slots=slots
    )


def test_the_first_round_repeats_the_leader_and_those_that_noise_may_have_put_behind_it() -> None:
    samples = {"far": [50.0], "b": [97.0], "best": [100.0], "c": [92.0]}
    assert chosen(samples) == ("best", "b", "c")


def test_the_first_round_repeats_the_closest_rival_however_far_behind_it_is() -> None:
    assert chosen({"best": [100.0], "far": [50.0], "further": [10.0]}) == ("best", "far")


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_no_more_than_the_slots_are_repeated_at_once(slots: int) -> None:
    samples = {f"c{i}": [100.0 - i] for i in range(9)}
    assert chosen(samples, slots=slots) == tuple(f"c{i}" for i in range(slots))


def test_the_fewest_servers_come_first() -> None:
    samples = {"a": [100.0, 104.0], "b": [101.0, 98.0], "c": [99.0]}
    assert chosen(samples)[0] == "c"


def test_nobody_is_measured_more_often_than_allowed() -> None:
    noisy = {"a": [100.0, 110.0, 90.0], "b": [99.0, 112.0, 88.0], "c": [98.0, 109.0]}
    assert chosen(noisy, most=3) == ("c",)
    assert chosen({**noisy, "c": [98.0, 109.0, 93.0]}, most=3) == ()
    assert chosen({"a": [2.0], "b": [1.0]}, most=1) == ()


def test_what_is_decided_is_not_repeated() -> None:
    samples = {
        "best": [100.0, 100.1, 99.9],
        "near": [95.0, 99.9, 97.0],
        "beaten": [80.0, 80.1, 79.9],
    }
    assert set(chosen(samples)) == {"best", "near"}
    assert chosen({key: samples[key] for key in ("best", "beaten")}) == ()


def test_one_contender_needs_no_repeat() -> None:
    assert chosen({"only": [5.0]}) == ()
    assert chosen({}) == ()


def test_a_rival_that_was_out_of_reach_comes_back_when_the_noise_proves_larger() -> None:
    samples = {"best": [100.0], "b": [99.0], "far": [60.0]}
    assert "far" not in chosen(samples)
    loud = {"best": [100.0, 60.0, 140.0], "b": [99.0, 61.0, 145.0], "far": [60.0]}
    assert chosen(loud)[0] == "far"


def test_a_rival_out_of_reach_is_repeated_once_those_within_reach_may_not_be() -> None:
    samples = {"best": [100.0, 120.0], "b": [99.0, 115.0], "far": [60.0]}
    assert judge(samples, Direction.MAXIMIZE, minimal_effect=0.02, most_servers=2).undecided
    assert chosen(samples, most=2) == ("far",)


def test_rounds_end_with_a_verdict_or_with_the_budget() -> None:
    random = np.random.default_rng(5)
    for cv in (0.001, 0.02, 0.3):
        true = {f"c{i}": 100 - 2.0 * i for i in range(6)}
        samples = {key: [value] for key, value in true.items()}
        for _ in range(6 * 4 + 1):
            ids = chosen(samples, slots=2)
            for key in ids:
                samples[key].append(true[key] * float(np.exp(cv * random.standard_normal())))
        assert ids == ()
        verdict = judge(samples, Direction.MAXIMIZE, minimal_effect=0.02)
        assert (verdict.kind is VerdictKind.NOT_ENOUGH_EVIDENCE) == verdict.budget_spent


def test_repeats_needed_is_about_what_it_takes() -> None:
    """The means kept as they are, so many more servers decide, and half as many do not."""
    spread = [0.98, 1.02]

    def samples(servers: int) -> Samples:
        return {
            "a": [104.0 * f for f in spread * servers],
            "b": [100.0 * f for f in spread * servers],
        }

    verdict = judge(samples(1), Direction.MAXIMIZE, minimal_effect=0.02, most_servers=60)
    assert verdict.repeats_needed is not None
    servers = [n for n in range(1, 60) if not judged(samples(n)).undecided]
    needed = 2 * (2 * servers[0] - 2)
    assert needed / 2 <= verdict.repeats_needed <= 2 * needed


def judged(samples: Samples) -> Verdict:
    return judge(samples, Direction.MAXIMIZE, minimal_effect=0.02, most_servers=60)


def test_few_are_repeated_at_a_time() -> None:
    samples = {f"c{i:02}": [100.0 - i / 10] for i in range(24)}
    assert chosen(samples, slots=24) == ("c00", "c01", "c02", "c03", "c04", "c05")


def test_those_that_are_closed_leave_their_place_to_others() -> None:
    samples = {f"c{i}": [100.0 - i] for i in range(8)}
    found = next_repeats(
        samples,
        Direction.MAXIMIZE,
        minimal_effect=0.02,
        most_servers=5,
        slots=2,
        closed={f"c{i}" for i in range(6)},
    )
    assert found == ("c6", "c7")
