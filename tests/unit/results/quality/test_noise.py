from __future__ import annotations

from dataclasses import replace

import pytest

from autotuner.results.confidence.verdict import VerdictKind
from autotuner.results.quality.finding import Severity
from autotuner.results.quality.noise import between_repeats, between_servers, cold_start
from autotuner.spec.objective import Direction, Objective

THROUGHPUT = "output_throughput_tok_s"


def test_servers_of_a_finalist_that_vary_more_than_the_effect_are_a_note_beside_a_winner(
    draft, only
):
    draft.samples["e32"] = (100.0, 110.0, 121.0)
    finding = only(between_servers, draft)
    assert (finding.kind, finding.severity) == ("noisy", Severity.NOTE)
    assert finding.experiment_ids == ("e32",)
    assert "3 fresh servers of max-num-seqs=32 vary by 9.5 %" in finding.message
    assert "finalist_servers: 10" in finding.remedy


def test_noise_is_a_warning_where_there_is_no_winner(draft, only):
    draft.samples["e32"] = (100.0, 110.0)
    draft.verdict = replace(draft.verdict, kind=VerdictKind.TIED, tied_with=("e16",))
    assert only(between_servers, draft).severity is Severity.WARNING


def test_noise_of_a_loser_or_of_a_single_server_is_silent(draft, found):
    draft.samples["e8"] = (100.0, 150.0)
    draft.samples["e32"] = (100.0,)
    assert found(between_servers, draft) == []


def test_little_noise_is_silent(draft, found):
    assert found(between_servers, draft) == []


def three_repeats(draft, values):
    of_one_server = [row for row in draft.levels if row["attempt_id"] == "e16-a1"]
    draft.levels.extend(row | {"repeat": 2} for row in of_one_server if row["repeat"] == 1)
    for row in draft.levels:
        if row["attempt_id"] == "e16-a1" and row["concurrency"] == 8:
            row[THROUGHPUT] = values[row["repeat"]]


def test_repeats_on_one_server_that_vary_more_than_the_effect_are_a_note(draft, only):
    three_repeats(draft, (100.0, 110.0, 121.0))
    finding = only(between_repeats, draft)
    assert (finding.kind, finding.severity) == ("noisy_repeats", Severity.NOTE)
    assert finding.experiment_ids == ("e16",)
    assert "vary by 9.5 %" in finding.message
    assert finding.remedy == "workloads: stop: {seconds: 4000}"


@pytest.mark.parametrize("values", [(100.0, 101.0, 100.5), (None, None, None)])
def test_equal_or_missing_repeats_are_silent(draft, found, values):
    three_repeats(draft, values)
    assert found(between_repeats, draft) == []


def make_first_levels_worse(draft, servers, factor):
    attempts = list(dict.fromkeys(row["attempt_id"] for row in draft.levels))
    for row in draft.levels:
        if row["attempt_id"] in attempts[:servers] and row["repeat"] == 0:
            row[THROUGHPUT] *= factor if row["concurrency"] == 1 else 1.0
            row["ttft_s_p99"] /= factor if row["concurrency"] == 1 else 1.0


def test_first_levels_that_are_worse_on_all_servers_tell_of_a_cold_start(draft, only):
    make_first_levels_worse(draft, 11, 0.9)
    finding = only(cold_start, draft)
    assert (finding.kind, finding.severity) == ("first_level_cold", Severity.WARNING)
    assert "11 of 11 servers, by 11.1 %" in finding.message
    assert finding.remedy == "workloads: warmup_requests: 256"


def test_for_a_latency_worse_means_longer(draft, only, found):
    draft.judging = replace(
        draft.judging, objective=Objective("latency", "ttft_s", Direction.MINIMIZE, "p99")
    )
    make_first_levels_worse(draft, 11, 0.9)
    assert only(cold_start, draft).kind == "first_level_cold"
    draft.judging = replace(
        draft.judging, objective=Objective("latency", "ttft_s", Direction.MAXIMIZE, "p99")
    )
    assert found(cold_start, draft) == []


@pytest.mark.parametrize(("servers", "factor"), [(0, 1.0), (6, 0.9), (11, 0.99), (11, 1.1)])
def test_first_levels_that_are_worse_by_chance_by_little_or_not_at_all_are_silent(
    draft, found, servers, factor
):
    make_first_levels_worse(draft, servers, factor)
    assert found(cold_start, draft) == []


def test_the_other_levels_of_a_server_do_not_count_as_first(draft, found):
    for row in draft.levels:
        if row["repeat"] == 0 and row["concurrency"] != 1:
            row[THROUGHPUT] *= 0.5
    assert found(cold_start, draft) == []
