from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace

import pytest

from autotuner.results.confidence.verdict import VerdictKind
from autotuner.results.limits import LevelRow
from autotuner.results.measured import Measured
from autotuner.results.score import EntryStatus, Ranking, rank, unit_of
from autotuner.results.study_record import ExpectedExperiment
from autotuner.spec.judging import Judging
from autotuner.spec.objective import METRICS, Constraint, Direction, Objective, Over, Penalty
from autotuner.spec.workload import Level

LOW, HIGH = Level("chat", "D(100,100)", 1), Level("chat", "D(100,100)", 16)

THROUGHPUT_AT_16 = Objective(
    "throughput", "output_throughput_tok_s", Direction.MAXIMIZE, concurrency=16
)
WORST_LATENCY = Objective(
    "latency", "e2e_latency_s", Direction.MINIMIZE, statistic="mean", over=Over.WORST
)
BEST_THROUGHPUT = Objective(
    "throughput", "output_throughput_tok_s", Direction.MAXIMIZE, over=Over.BEST
)


def expected(*ids: str) -> tuple[ExpectedExperiment, ...]:
    return tuple(ExpectedExperiment(id_, f"label {id_}", {}, (LOW, HIGH)) for id_ in ids)


def ok(**numbers: float | None) -> LevelRow:
    return {"status": "ok", "reason": None, **numbers}


def bad(status: str, reason: str, **numbers: float | None) -> LevelRow:
    return {"status": status, "reason": reason, **numbers}


def complete(low: LevelRow, high: LevelRow) -> Measured:
    levels = {LOW: low, HIGH: high}
    return Measured("completed", "", levels, (levels,))


def on_servers(*throughputs_at_16: float) -> Measured:
    """Measured on several servers; the pooled value is the plain mean."""
    attempts = tuple(throughputs(1, value).levels for value in throughputs_at_16)
    pooled = throughputs(1, sum(throughputs_at_16) / len(throughputs_at_16)).levels
    return Measured("completed", "", pooled, attempts)


def throughputs(low: float | None, high: float | None) -> Measured:
    return complete(ok(output_throughput_tok_s=low), ok(output_throughput_tok_s=high))


def latencies(low: float | None, high: float | None) -> Measured:
    return complete(ok(e2e_latency_s_mean=low), ok(e2e_latency_s_mean=high))


def ranked(
    measured: Mapping[str, Measured], objective: Objective, *constraints: Constraint
) -> Ranking:
    return rank(expected(*sorted(measured)), measured, Judging(objective, constraints))


def winner(ranking: Ranking) -> str | None:
    return ranking.winner.experiment_id if ranking.winner else None


@pytest.mark.parametrize(
    ("direction", "order"),
    [(Direction.MAXIMIZE, ["b", "c", "a"]), (Direction.MINIMIZE, ["a", "c", "b"])],
)
def test_feasible_experiments_are_ordered_in_the_objectives_direction(
    direction: Direction, order: list[str]
) -> None:
    measured = {"a": throughputs(0, 10), "b": throughputs(0, 30), "c": throughputs(0, 20)}
    ranking = ranked(measured, replace(THROUGHPUT_AT_16, direction=direction))
    assert [entry.experiment_id for entry in ranking.entries] == order
    assert [entry.rank for entry in ranking.entries] == [1, 2, 3]
    assert ranking.winner is ranking.entries[0]


def test_ties_stay_in_plan_order() -> None:
    measured = {name: throughputs(1, 10) for name in "abc"} | {"z": throughputs(1, 11)}
    ranking = rank(expected("c", "a", "z", "b"), measured, Judging(THROUGHPUT_AT_16))
    assert [entry.experiment_id for entry in ranking.entries] == ["z", "c", "a", "b"]


def test_feasible_then_infeasible_then_pending() -> None:
    measured = {
        "b": Measured("failed", "server_crashed: gone", {}),
        "c": throughputs(1, 10),
        "d": Measured(None, "", {LOW: ok(output_throughput_tok_s=1.0)}),
    }
    ranking = rank(expected("a", "b", "c", "d"), measured, Judging(THROUGHPUT_AT_16))
    assert [(e.experiment_id, e.status) for e in ranking.entries] == [
        ("c", EntryStatus.FEASIBLE),
        ("b", EntryStatus.INFEASIBLE),
        ("a", EntryStatus.PENDING),
        ("d", EntryStatus.PENDING),
    ]
    assert [e.rank for e in ranking.entries] == [1, None, None, None]
    assert [e.score.reason for e in ranking.pending] == [
        "not started",
        "running or interrupted: 1 of 2 levels stored",
    ]


def test_without_a_feasible_experiment_there_is_no_winner_and_no_margin() -> None:
    ranking = ranked({"a": Measured("failed", "x", {})}, THROUGHPUT_AT_16)
    assert ranking.winner is None
    assert ranking.margin_to_next is None


def test_seed_defect_1_an_experiment_whose_heavy_level_failed_does_not_win() -> None:
    failing = complete(
        ok(e2e_latency_s_mean=0.3),
        bad("failed", "7 of 58 requests failed (12.1 %)", e2e_latency_s_mean=0.2),
    )
    ranking = ranked({"failing": failing, "passing": latencies(0.3, 0.7)}, WORST_LATENCY)
    assert winner(ranking) == "passing"
    assert ranking.entries[1].score.reason == (
        "level chat D(100,100) c=16 failed: 7 of 58 requests failed (12.1 %)"
    )


@pytest.mark.parametrize("objective", [THROUGHPUT_AT_16, BEST_THROUGHPUT])
def test_seed_defect_1_a_failed_level_outside_the_objective_counts_too(
    objective: Objective,
) -> None:
    failing = complete(bad("failed", "errors"), ok(output_throughput_tok_s=99.0))
    ranking = ranked({"failing": failing, "passing": throughputs(1, 10)}, objective)
    assert winner(ranking) == "passing"


def test_seed_defect_2_a_partial_attempt_does_not_win() -> None:
    for partial in (
        Measured("completed", "", {LOW: ok(e2e_latency_s_mean=0.1)}),
        Measured("failed", "server_crashed: gone", {LOW: ok(e2e_latency_s_mean=0.1)}),
        Measured(None, "", {LOW: ok(e2e_latency_s_mean=0.1)}),
        complete(ok(e2e_latency_s_mean=0.1), bad("not_measured", "the server crashed before it")),
    ):
        ranking = ranked({"partial": partial, "whole": latencies(0.3, 0.7)}, WORST_LATENCY)
        assert winner(ranking) == "whole"
        assert ranking.entries[1].score.feasible is False


def test_a_missing_level_is_named_with_its_reason() -> None:
    lost = complete(bad("not_measured", "the server crashed"), bad("not_measured", "the server"))
    missing = Measured("completed", "", {LOW: ok(e2e_latency_s_mean=0.1)})
    ranking = ranked({"a": lost, "b": missing}, WORST_LATENCY)
    assert [entry.score.reason for entry in ranking.entries] == [
        "level chat D(100,100) c=1 not measured: the server crashed (and 1 more)",
        "level chat D(100,100) c=16 has no result",
    ]


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
def test_all_levels_ok_without_a_completed_outcome_is_infeasible(outcome: str) -> None:
    levels = throughputs(1, 99).levels
    ranking = ranked({"a": Measured(outcome, "why", levels)}, THROUGHPUT_AT_16)
    (entry,) = ranking.entries
    assert entry.status is EntryStatus.INFEASIBLE
    assert entry.score.reason == f"{outcome}: why"
    assert entry.score.value == 99


def test_seed_defect_3_errors_do_not_count_as_fast() -> None:
    survivors = complete(
        ok(e2e_latency_s_mean=0.1),
        bad("failed", "96 of 100 requests failed (96.0 %)", e2e_latency_s_mean=0.1),
    )
    ranking = ranked({"broken": survivors, "sound": latencies(0.2, 0.4)}, WORST_LATENCY)
    assert winner(ranking) == "sound"
    assert ranking.entries[1].score.value is None


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("missing", [None, float("inf"), float("-inf"), float("nan")])
def test_seed_defect_5_a_missing_number_is_never_best(
    direction: Direction, missing: float | None
) -> None:
    measured = {"empty": throughputs(1, missing), "sound": throughputs(1, 10)}
    ranking = ranked(measured, replace(THROUGHPUT_AT_16, direction=direction))
    assert winner(ranking) == "sound"
    score = ranking.entries[1].score
    assert (score.value, score.feasible) == (None, False)
    assert score.reason == "chat D(100,100) c=16: output_throughput_tok_s has no value"


def test_seed_defect_5_no_score_is_infinite_and_the_ranking_is_strict_json() -> None:
    measured = {
        "a": Measured("failed", "x", {}),
        "b": throughputs(float("inf"), float("nan")),
        "c": throughputs(1, 0),
    }
    ranking = rank(expected(*"abcd"), measured, Judging(THROUGHPUT_AT_16))
    json.dumps(asdict(ranking), allow_nan=False)
    values = [entry.score.value for entry in ranking.entries]
    assert all(value is None or math.isfinite(value) for value in values)


def test_seed_defect_10_one_null_statistic_does_not_discard_the_experiment() -> None:
    one_token = complete(
        ok(output_throughput_tok_s=1.0, tpot_s_mean=None, tpot_s_p99=None),
        ok(output_throughput_tok_s=20.0, tpot_s_mean=None, tpot_s_p99=None),
    )
    ranking = ranked({"one_token": one_token, "other": throughputs(1, 10)}, THROUGHPUT_AT_16)
    assert winner(ranking) == "one_token"
    assert len(ranking.feasible) == 2


def test_a_broken_constraint_makes_infeasible_and_shows_the_value_without_a_rank() -> None:
    slow = complete(
        ok(output_throughput_tok_s=1.0, ttft_s_p99=0.1),
        ok(output_throughput_tok_s=90.0, ttft_s_p99=2.0),
    )
    quick = complete(
        ok(output_throughput_tok_s=1.0, ttft_s_p99=9.0),
        ok(output_throughput_tok_s=10.0, ttft_s_p99=0.9),
    )
    limit = Constraint("ttft_s", "p99", 1.0)
    ranking = ranked({"slow": slow, "quick": quick}, THROUGHPUT_AT_16, limit)
    assert winner(ranking) == "quick"
    loser = ranking.entries[1]
    assert (loser.rank, loser.score.value) == (None, 90.0)
    assert loser.score.reason == "chat D(100,100) c=16: ttft_s_p99 is 2, must be <= 1"


def test_a_constraint_whose_number_is_missing_is_not_met() -> None:
    limit = Constraint("tpot_s", "p99", 1.0)
    ranking = ranked({"a": throughputs(1, 10)}, THROUGHPUT_AT_16, limit)
    assert "tpot_s_p99 has no value" in ranking.entries[0].score.reason


def test_a_score_names_its_unit_and_its_level() -> None:
    score = ranked({"a": throughputs(30, 20)}, BEST_THROUGHPUT).entries[0].score
    assert (score.unit, score.level, score.reason) == ("tok/s", "chat D(100,100) c=1", "")


def test_every_metric_has_a_unit() -> None:
    assert all(unit_of(metric) for metric in METRICS)


def test_margins_are_fractions_of_the_other_value() -> None:
    measured = {"a": throughputs(1, 12), "b": throughputs(1, 10), "c": throughputs(1, 6)}
    ranking = ranked(measured, THROUGHPUT_AT_16)
    assert ranking.margin_to_next == pytest.approx(0.2)


@pytest.mark.parametrize("second", [None, 0.0])
def test_there_is_no_margin_without_a_second_or_over_zero(second: float | None) -> None:
    ranking = ranked({"a": throughputs(1, 12), "b": throughputs(1, second)}, THROUGHPUT_AT_16)
    assert ranking.margin_to_next is None


def test_a_ranking_says_on_how_many_servers_it_rests() -> None:
    assert ranked({"a": throughputs(1, 12)}, THROUGHPUT_AT_16).caveat == (
        "measured on 1 server each; nothing tells differences from noise"
    )
    measured = {"a": on_servers(10, 10.2), "b": throughputs(1, 5)}
    caveat = ranked(measured, THROUGHPUT_AT_16).caveat
    assert caveat == (
        "measured on 1 to 2 servers each; servers of one configuration differ by 1.4 % (CV)"
    )
    simulated = complete(ok(simulated=True), ok(simulated=True))
    assert "simulated server" in ranked({"a": simulated}, THROUGHPUT_AT_16).caveat


def test_every_server_gives_one_sample_at_the_level_that_the_pooled_values_chose() -> None:
    pooled = throughputs(30, 20).levels
    servers = (throughputs(31, 99).levels, throughputs(29, 11).levels)
    measured = {"a": Measured("completed", "", pooled, servers)}
    (entry,) = ranked(measured, BEST_THROUGHPUT).entries
    assert entry.score.level == "chat D(100,100) c=1"
    assert entry.score.samples == (31, 29)
    assert entry.servers == 2


def test_the_verdict_is_about_the_samples_of_all_feasible_experiments() -> None:
    measured = {
        "a": on_servers(100, 100.4, 99.6, 100.1),
        "b": on_servers(50, 50.2, 49.8, 50.1),
        "failed": Measured("failed", "x", {}),
    }
    ranking = ranked(measured, THROUGHPUT_AT_16)
    assert (ranking.verdict.kind, ranking.verdict.leader) == (VerdictKind.WINNER, "a")
    assert set(ranking.verdict.advantages) == {"b"}


def test_the_leader_of_the_verdict_comes_first() -> None:
    # The mean of a is above that of b, its geometric mean below.
    measured = {"a": on_servers(50, 151), "b": on_servers(99, 101)}
    ranking = ranked(measured, THROUGHPUT_AT_16)
    assert ranking.verdict.leader == "b"
    assert [entry.experiment_id for entry in ranking.entries] == ["b", "a"]


@pytest.mark.parametrize(
    ("direction", "expected_fractions"),
    [
        (Direction.MAXIMIZE, {"a": 0.2, "b": 0.0, "c": -0.4}),
        (Direction.MINIMIZE, {"a": -0.2, "b": 0.0, "c": 0.4}),
    ],
)
def test_every_feasible_experiment_is_compared_with_the_baseline(
    direction: Direction, expected_fractions: dict[str, float]
) -> None:
    measured = {"a": throughputs(1, 12), "b": throughputs(1, 10), "c": throughputs(1, 6)}
    plan = tuple(replace(e, is_baseline=e.id == "b") for e in expected("a", "b", "c"))
    ranking = rank(plan, measured, Judging(replace(THROUGHPUT_AT_16, direction=direction)))
    fractions = {entry.experiment_id: entry.vs_baseline for entry in ranking.entries}
    assert fractions == pytest.approx(expected_fractions)
    assert [e.experiment_id for e in ranking.entries if e.is_baseline] == ["b"]


def test_without_a_feasible_baseline_nothing_is_said_about_it() -> None:
    measured = {"a": throughputs(1, 12), "b": Measured("failed", "x", {})}
    plan = tuple(replace(e, is_baseline=e.id == "b") for e in expected("a", "b"))
    ranking = rank(plan, measured, Judging(THROUGHPUT_AT_16))
    assert [entry.vs_baseline for entry in ranking.entries] == [None, None]


SOFT = Constraint("ttft_s", "p99", 1.0, penalty=Penalty(weight=1.0, steepness=0.1))


def with_ttft(throughput: float, ttft_s: float) -> Measured:
    return complete(
        ok(output_throughput_tok_s=1.0, ttft_s_p99=0.1),
        ok(output_throughput_tok_s=throughput, ttft_s_p99=ttft_s),
    )


def test_entries_are_ordered_by_the_value_with_its_penalty() -> None:
    measured = {"slow": with_ttft(90, 2.0), "quick": with_ttft(10, 0.9)}
    ranking = ranked(measured, THROUGHPUT_AT_16, SOFT)
    assert [entry.experiment_id for entry in ranking.entries] == ["quick", "slow"]
    slow = ranking.entries[1].score
    assert slow.feasible
    assert slow.value == 90
    assert slow.penalty == pytest.approx(math.expm1(10))
    assert slow.effective == pytest.approx(90 / math.exp(10))
    assert slow.samples == pytest.approx((90 / math.exp(10),))


def test_beyond_its_fail_ratio_a_soft_limit_makes_infeasible() -> None:
    limit = replace(SOFT, penalty=Penalty(fail_ratio=0.5))
    ranking = ranked({"a": with_ttft(90, 1.4), "b": with_ttft(90, 1.6)}, THROUGHPUT_AT_16, limit)
    assert [entry.status for entry in ranking.entries] == [
        EntryStatus.FEASIBLE,
        EntryStatus.INFEASIBLE,
    ]
    assert ranking.entries[1].score.reason == (
        "chat D(100,100) c=16: ttft_s_p99 is 1.6, must be <= 1, at most 50 % beyond it"
    )


def test_what_was_measured_under_other_circumstances_has_no_place_and_no_samples() -> None:
    measured = {"a": throughputs(1, 12), "b": throughputs(1, 10)}
    ranking = rank(expected("a", "b"), measured, Judging(THROUGHPUT_AT_16), {"a": "another GPU"})
    apart = ranking.entries[1]
    assert (apart.experiment_id, apart.rank, apart.status) == (
        "a",
        None,
        EntryStatus.NOT_COMPARABLE,
    )
    assert (apart.score.value, apart.score.reason, apart.score.samples) == (12, "another GPU", ())
    assert ranking.verdict.leader == "b"


def test_a_failed_experiment_is_infeasible_whatever_its_circumstances() -> None:
    measured = {"a": Measured("failed", "x", {}), "b": throughputs(1, 10)}
    ranking = rank(expected("a", "b"), measured, Judging(THROUGHPUT_AT_16), {"a": "another GPU"})
    assert ranking.entries[1].status is EntryStatus.INFEASIBLE


def test_a_repeat_that_is_missing_makes_its_level_missing() -> None:
    whole = throughputs(1, 10)
    measured = {"a": replace(whole, missing=frozenset({HIGH}))}
    (entry,) = ranked(measured, THROUGHPUT_AT_16).entries
    assert entry.score.reason == "level chat D(100,100) c=16 has no result"


def test_where_several_servers_tell_how_much_they_differ_scores_have_an_interval() -> None:
    measured = {"a": on_servers(10, 10.2, 9.8), "b": throughputs(1, 5)}
    for entry in ranked(measured, THROUGHPUT_AT_16).entries:
        assert entry.interval is not None
        assert entry.interval.low < entry.score.value < entry.interval.high
    (alone,) = ranked({"a": throughputs(1, 12)}, THROUGHPUT_AT_16).entries
    assert alone.interval is None


def skipped(reason: str = "8 % less is expected") -> LevelRow:
    return bad("skipped", reason)


def test_where_the_best_level_counts_others_may_be_skipped() -> None:
    measured = {
        "a": complete(ok(output_throughput_tok_s=10.0), skipped()),
        "b": throughputs(5, 20),
    }
    ranking = ranked(measured, BEST_THROUGHPUT)
    assert [(e.experiment_id, e.score.value) for e in ranking.feasible] == [("b", 20), ("a", 10)]
    assert ranking.feasible[1].score.level == str(LOW)


@pytest.mark.parametrize("objective", [THROUGHPUT_AT_16, replace(BEST_THROUGHPUT, over=Over.WORST)])
def test_where_a_level_counts_whatever_it_is_none_may_be_skipped(objective: Objective) -> None:
    measured = {"a": complete(ok(output_throughput_tok_s=10.0), skipped("too slow"))}
    (entry,) = ranked(measured, objective).entries
    assert entry.status is EntryStatus.INFEASIBLE
    assert f"{HIGH} skipped: too slow" in entry.score.reason


def test_an_experiment_of_which_everything_was_skipped_has_no_best() -> None:
    (entry,) = ranked({"a": complete(skipped("too slow"), skipped())}, BEST_THROUGHPUT).entries
    assert entry.status is EntryStatus.INFEASIBLE
    assert "skipped: too slow" in entry.score.reason


def test_a_skipped_level_is_not_the_nearest_to_a_limit() -> None:
    limit = Constraint("ttft_s", "p50", 1.0)
    low = ok(output_throughput_tok_s=10.0, ttft_s_p50=2.0)
    (entry,) = ranked({"a": complete(low, skipped())}, BEST_THROUGHPUT, limit).entries
    assert entry.score.reason == f"{LOW}: ttft_s_p50 is 2, must be <= 1"


def test_servers_that_skipped_the_best_level_give_no_sample() -> None:
    both = {LOW: ok(output_throughput_tok_s=10.0), HIGH: ok(output_throughput_tok_s=20.0)}
    one = {LOW: ok(output_throughput_tok_s=11.0), HIGH: skipped()}
    measured = {"a": Measured("completed", "", both, (both, one))}
    (entry,) = ranked(measured, BEST_THROUGHPUT).entries
    assert entry.score.samples == (20.0,)


def test_what_was_given_up_is_no_failure_and_never_ranked() -> None:
    levels = {LOW: ok(output_throughput_tok_s=99.0), HIGH: skipped()}
    measured = {
        "a": Measured("pruned", "behind by 40 %", levels),
        "b": throughputs(5, 20),
        "c": Measured("failed", "server_crashed: gone", {}),
    }
    ranking = ranked(measured, BEST_THROUGHPUT)
    assert [(e.experiment_id, e.status) for e in ranking.entries] == [
        ("b", EntryStatus.FEASIBLE),
        ("a", EntryStatus.PRUNED),
        ("c", EntryStatus.INFEASIBLE),
    ]
    assert ranking.entries[1].score.reason == "behind by 40 %"
    assert (ranking.entries[1].rank, ranking.entries[1].score.feasible) == (None, False)
