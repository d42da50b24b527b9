"""Winner, tied, or not enough evidence: what the samples allow to say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from autotuner.results.confidence.verdict import Interval, Verdict, VerdictKind, judge
from autotuner.spec.objective import Direction

Samples = Mapping[str, Sequence[float]]
SEEDS = range(12)


def verdict_of(
    samples: Samples, direction: Direction = Direction.MAXIMIZE, most_servers: int = 5
) -> Verdict:
    return judge(samples, direction, minimal_effect=0.02, most_servers=most_servers)


def drawn(seed: int, cv: float = 0.004) -> dict[str, list[float]]:
    """Eight configurations, some close together, on one to five servers each."""
    random = np.random.default_rng(seed)
    counts = sorted(random.integers(1, 6, 8).tolist(), reverse=True)
    return {
        f"c{i}": [
            100 * (1 - 0.007 * i) * math.exp(cv * random.standard_normal()) for _ in range(count)
        ]
        for i, count in enumerate(counts)
    }


def sets(verdict: Verdict) -> tuple[object, ...]:
    return verdict.kind, verdict.leader, verdict.tied_with, verdict.undecided


def beaten(samples: Samples) -> set[str]:
    verdict = verdict_of(samples)
    return set(samples) - {verdict.leader, *verdict.tied_with, *verdict.undecided}


def test_nothing_measured_is_no_result() -> None:
    assert sets(verdict_of({})) == (VerdictKind.NO_RESULT, None, (), ())


def test_one_contender_wins_and_its_sentence_says_that_there_was_no_other() -> None:
    verdict = verdict_of({"a": [5.0]})
    assert verdict.kind is VerdictKind.WINNER
    assert verdict.repeats_needed == 0
    assert verdict.sentence({}) == "winner: a, no other has a result to compare with"


def test_one_measurement_each_never_gives_a_winner() -> None:
    verdict = verdict_of({"a": [100.0], "b": [1.0], "c": [0.0]})
    assert verdict.kind is VerdictKind.NOT_ENOUGH_EVIDENCE
    assert verdict.undecided == ("b", "c")
    assert verdict.repeats_needed == 2
    assert verdict.noise_cv is None
    assert verdict.advantages["b"] == Interval(pytest.approx(99.0), None, None)


def test_a_leader_measured_once_is_no_winner_however_far_ahead_it_is() -> None:
    steady = {f"c{i}": [10.0, 10.01, 9.99] for i in range(5)}
    assert verdict_of({"lucky": [100.0], **steady}).kind is VerdictKind.NOT_ENOUGH_EVIDENCE


def test_the_closest_rival_is_measured_twice_before_the_leader_wins() -> None:
    steady = {"a": [100.0, 100.1, 99.9], "c": [10.0, 10.01, 9.99]}
    assert verdict_of({**steady, "b": [50.0]}).undecided == ("b",)
    assert verdict_of({**steady, "b": [50.0, 50.1]}).kind is VerdictKind.WINNER


def test_a_leader_far_beyond_the_noise_wins() -> None:
    verdict = verdict_of({"a": [100.0, 101.0, 100.5], "b": [80.0, 80.5, 80.2]})
    assert sets(verdict) == (VerdictKind.WINNER, "a", (), ())
    advantage = verdict.advantages["b"]
    assert advantage.low is not None
    assert advantage.high is not None
    assert 0.2 < advantage.low < advantage.estimate < advantage.high < 0.3


def test_equal_configurations_end_as_tied() -> None:
    same = [100.0, 100.2, 99.8, 100.1, 99.9]
    verdict = verdict_of({"a": same, "b": same, "c": same})
    assert sets(verdict) == (VerdictKind.TIED, "a", ("b", "c"), ())


def test_a_rival_certainly_worse_by_less_than_matters_is_tied_and_not_beaten() -> None:
    wave = [1.0, 1.0002, 0.9998, 1.0001, 0.9999]
    samples = {"a": [100.5 * f for f in wave], "b": [100.0 * f for f in wave]}
    verdict = verdict_of(samples)
    assert verdict.advantages["b"].low is not None
    assert verdict.advantages["b"].low > 0
    assert verdict.tied_with == ("b",)
    at_once = judge(samples, Direction.MAXIMIZE, minimal_effect=0.001)
    assert at_once.kind is VerdictKind.WINNER


def test_a_rival_that_cannot_be_better_by_what_matters_nor_looks_worse_by_it_is_tied() -> None:
    wave = [1.004, 0.996, 1.003, 0.997, 1.0]
    close = {"a": [100.5 * f for f in wave], "b": [100.0 * f for f in wave]}
    verdict = verdict_of(close)
    bounds = verdict.advantages["b"]
    assert bounds.low is not None
    assert -0.02 < bounds.low < 0
    assert sets(verdict) == (VerdictKind.TIED, "a", ("b",), ())


def test_a_rival_that_looks_worse_by_what_matters_is_not_tied_but_may_yet_be_beaten() -> None:
    wave = [1.015, 0.985, 1.01, 0.99, 1.0]
    apart = {"a": [102.2 * f for f in wave], "b": [100.0 * f for f in wave]}
    assert sets(verdict_of(apart)) == (VerdictKind.NOT_ENOUGH_EVIDENCE, "a", (), ("b",))


def test_noise_larger_than_the_difference_is_not_enough_evidence() -> None:
    verdict = verdict_of({"a": [100.0, 108.0], "b": [101.0, 99.0]})
    assert verdict.kind is VerdictKind.NOT_ENOUGH_EVIDENCE
    assert verdict.repeats_needed is not None
    assert verdict.repeats_needed > 2
    assert not verdict.budget_spent


def test_a_spent_budget_is_said_together_with_what_it_would_take() -> None:
    verdict = verdict_of({"a": [100.0, 108.0], "b": [101.0, 99.0]}, most_servers=2)
    assert verdict.budget_spent
    sentence = verdict.sentence({})
    assert "no more repeats are allowed; about" in sentence
    assert sentence.endswith("more repeats needed")


def test_no_variance_at_all_still_allows_for_a_little() -> None:
    assert verdict_of({"a": [7.0, 7.0], "b": [7.0, 7.0]}).kind is not VerdictKind.WINNER
    assert verdict_of({"a": [9.0] * 3, "b": [7.0] * 3}).kind is VerdictKind.WINNER


def test_more_looks_need_more_evidence() -> None:
    samples = {"a": [100.0, 101.0, 100.5], "b": [98.0, 98.5, 98.2]}
    few, many = (verdict_of(samples, most_servers=n).advantages["b"] for n in (3, 10))
    assert few.low is not None
    assert many.low is not None
    assert many.low < few.low


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_the_ids_does_not_matter(seed: int) -> None:
    samples = drawn(seed)
    shuffled = dict(reversed(samples.items()))
    assert verdict_of(shuffled) == verdict_of(samples)


@pytest.mark.parametrize("seed", SEEDS)
def test_scaling_all_values_changes_nothing(seed: int) -> None:
    samples = drawn(seed)
    scaled = {key: [10 * value for value in values] for key, values in samples.items()}
    first, second = verdict_of(samples), verdict_of(scaled)
    assert sets(first) == sets(second)
    assert first.repeats_needed == second.repeats_needed
    for key, advantage in first.advantages.items():
        assert second.advantages[key].estimate == pytest.approx(advantage.estimate)
        assert second.advantages[key].low == pytest.approx(advantage.low)


@pytest.mark.parametrize("seed", SEEDS)
def test_less_is_better_mirrors_more_is_better(seed: int) -> None:
    samples = drawn(seed)
    mirrored = {key: [1 / value for value in values] for key, values in samples.items()}
    first, second = verdict_of(samples), verdict_of(mirrored, Direction.MINIMIZE)
    assert sets(first) == sets(second)
    assert first.repeats_needed == second.repeats_needed


def test_an_advantage_is_a_fraction_of_the_rivals_value() -> None:
    samples = {"a": [50.0, 50.0], "b": [100.0, 100.0]}
    assert verdict_of(samples).advantages["a"].estimate == pytest.approx(1.0)
    mirrored = verdict_of(samples, Direction.MINIMIZE)
    assert mirrored.advantages["b"].estimate == pytest.approx(0.5)


@pytest.mark.parametrize("seed", SEEDS)
def test_another_and_worse_configuration_beats_nobody(seed: int) -> None:
    samples = drawn(seed)
    more = {**samples, "worse": [40.0]}
    assert verdict_of(more).leader == verdict_of(samples).leader
    assert beaten(more) - {"worse"} <= beaten(samples)


def test_what_is_reached_nowhere_is_beaten_by_what_is_reached() -> None:
    verdict = verdict_of({"a": [5.0, 5.1], "none": [0.0, 0.0]})
    assert sets(verdict) == (VerdictKind.WINNER, "a", (), ())
    assert verdict.advantages == {}


def test_a_configuration_that_fails_now_and_then_leads_nothing_and_stays_undecided() -> None:
    verdict = verdict_of({"steady": [5.0, 5.1], "moody": [50.0, 0.0]})
    assert (verdict.leader, verdict.undecided) == ("steady", ("moody",))
    assert verdict.repeats_needed is None
    assert "cannot be said" in verdict.sentence({})


def test_all_zero_is_a_tie() -> None:
    zeros = {"a": [0.0, 0.0], "b": [0.0, 0.0]}
    for direction in Direction:
        assert sets(verdict_of(zeros, direction)) == (VerdictKind.TIED, "a", ("b",), ())


def test_where_less_is_better_zero_is_as_good_as_can_be() -> None:
    samples = {"clean": [0.0, 0.0], "some": [0.1, 0.2]}
    assert sets(verdict_of(samples, Direction.MINIMIZE)) == (VerdictKind.WINNER, "clean", (), ())


def test_a_penalty_without_limit_is_as_bad_as_can_be() -> None:
    samples = {"ok": [1.0, 1.1], "late": [math.inf, math.inf]}
    assert verdict_of(samples, Direction.MINIMIZE).leader == "ok"


@pytest.mark.parametrize("seed", SEEDS)
def test_no_number_of_a_verdict_is_infinite(seed: int) -> None:
    random = np.random.default_rng(seed)
    choices = [0.0, 1e-300, 1e-9, 1.0, 2.0, 1e9, 1e300, math.inf]
    samples = {f"c{i}": random.choice(choices, random.integers(1, 4)).tolist() for i in range(5)}
    for direction in Direction:
        verdict = verdict_of(samples, direction)
        numbers = [verdict.noise_cv, verdict.shortfall, verdict.repeats_needed]
        for advantage in verdict.advantages.values():
            numbers += [advantage.estimate, advantage.low, advantage.high]
        assert all(number is None or math.isfinite(number) for number in numbers)
        assert verdict.sentence({})


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        ({}, "no result: nothing was measured that could be compared"),
        (
            {"a": [101.2], "b": [100.0]},
            "not enough evidence: A leads b by 1.2 %; each was measured once;"
            " at least 2 repeats needed",
        ),
        (
            {"a": [101.2], "b": [100.0], "c": [90.0]},
            "not enough evidence: A leads b and 1 more by 1.2 % or more; each was measured once;"
            " at least 2 repeats needed",
        ),
        (
            {"a": [100.0, 100.2, 99.8], "b": [100.0, 100.2, 99.8], "c": [50.0, 50.0]},
            "tied: A with b (none is more than 0.7 % better)",
        ),
        (
            {"a": [110.0, 110.0, 110.0], "b": [100.0, 100.0, 100.0], "c": [50.0, 50.0]},
            "winner: A, 10 % (9.7 to 10.3 %) better than the next",
        ),
    ],
)
def test_sentences(samples: Samples, sentence: str) -> None:
    assert verdict_of(samples).sentence({"a": "A"}) == sentence


def test_what_the_choice_of_the_leader_may_cost_is_said_where_the_verdict_is_open() -> None:
    wave = [1.0, 1.01, 0.99, 1.005, 0.995]
    verdict = verdict_of({"a": [101.0 * f for f in wave], "b": [100.0 * f for f in wave]})
    assert verdict.shortfall is not None
    low = verdict.advantages["b"].low
    assert low is not None
    assert verdict.shortfall == pytest.approx(1 / (1 + low) - 1)
    assert f"none is more than {100 * verdict.shortfall:.1f} % better" in verdict.sentence({})
