from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotuner.results.gpu_time import GpuTime, gpu_time, reserved_columns, reserved_seconds
from autotuner.results.schema import GPU_TIME_SHARES, experiments_schema

PHASES = (
    "preflight",
    "server_start",
    "warmup",
    "load",
    "bench_overhead",
    "stop",
    "postflight",
)
ATTEMPT = {
    "seconds_actor_start": 0.6,
    "seconds_preflight": 0.5,
    "seconds_server_start": 20.0,
    "seconds_warmup": 2.0,
    "seconds_load": 60.0,
    "seconds_bench_overhead": 6.0,
    "seconds_stop": 1.0,
    "seconds_postflight": 0.25,
    "seconds_reserved": 92.0,
}
seconds = st.floats(0.0, 1e6)


@given(
    st.fixed_dictionaries({}, optional={f"seconds_{phase}": seconds for phase in PHASES}),
    seconds,
    st.integers(0, 64),
)
def test_the_shares_add_up_to_what_was_reserved_or_are_unknown(
    phases: dict[str, float], reserved: float, gpus: int
) -> None:
    columns = reserved_columns({**phases, "seconds_reserved": reserved}, gpus=gpus)
    shares = [columns[f"gpu_seconds_{share}"] for share in GPU_TIME_SHARES]
    if not phases:
        assert shares == [None] * len(GPU_TIME_SHARES)
        assert columns["gpu_seconds_reserved"] == gpus * reserved
        return
    known = [share for share in shares if share is not None]
    assert len(known) == len(shares)
    assert all(share >= 0 for share in known)
    total = columns["gpu_seconds_reserved"]
    assert total is not None
    assert math.isclose(math.fsum(known), total, abs_tol=1e-6)


def test_every_phase_is_in_one_share() -> None:
    assert reserved_seconds(ATTEMPT) == {
        "reserved": 92.0,
        "start": 20.5,
        "warmup": 2.0,
        "load": 60.0,
        "overhead": 7.25,
        "idle": 2.25,
    }


def test_gpu_seconds_are_gpus_times_seconds() -> None:
    columns = reserved_columns(ATTEMPT, gpus=8)
    assert columns["gpu_seconds_start"] == 8 * 20.5
    assert columns["gpu_seconds_reserved"] == 8 * 92.0
    assert columns["seconds_reserved"] == 92.0
    assert columns["seconds_idle"] == 2.25


def test_without_gpus_the_shares_are_told_in_seconds_alone() -> None:
    columns = reserved_columns(ATTEMPT, gpus=0)
    assert columns["gpu_seconds_reserved"] == columns["gpu_seconds_load"] == 0.0
    assert (columns["seconds_reserved"], columns["seconds_idle"]) == (92.0, 2.25)


def test_a_phase_that_was_not_reached_took_no_time() -> None:
    facts = {"seconds_reserved": 10.0, "seconds_preflight": 1.0, "seconds_server_start": 8.0}
    columns = reserved_columns(facts, gpus=1)
    assert columns["gpu_seconds_start"] == 9.0
    assert columns["gpu_seconds_load"] == 0.0
    assert columns["gpu_seconds_idle"] == 1.0


@pytest.mark.parametrize("facts", [{}, {"seconds_reserved": None}, {"seconds_load": 3.0}])
def test_what_nobody_saw_reserved_is_unknown_and_not_nothing(facts: dict[str, object]) -> None:
    assert set(reserved_columns(facts, gpus=2).values()) == {None}


def test_a_driver_that_heard_late_of_the_start_makes_no_negative_idle_time() -> None:
    """It counts from when it heard; the node's own seconds are the truth then."""
    columns = reserved_columns({**ATTEMPT, "seconds_reserved": 80.0}, gpus=1)
    assert columns["gpu_seconds_idle"] == 0.0
    assert columns["gpu_seconds_reserved"] == 89.75


def test_all_columns_are_those_of_the_experiment_rows() -> None:
    assert set(reserved_columns(ATTEMPT, gpus=1)) <= set(experiments_schema(()).names)


# A whole study


NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def stay(
    begin_s: float, end_s: float, *gpu_ids: str, node: str = "n1", **facts: object
) -> dict[str, object]:
    """The row of an attempt that had these devices for so long, all of it under load."""
    ids = list(gpu_ids or ("0",))
    phases = {"seconds_load": end_s - begin_s, "seconds_reserved": end_s - begin_s}
    return {
        **(phases | facts),
        "node_id": node,
        "gpus": len(ids),
        "gpu_ids": ids,
        "started_at": NOON + timedelta(seconds=begin_s),
        "ended_at": NOON + timedelta(seconds=end_s),
    }


def test_a_study_s_shares_are_gpu_seconds_and_add_up() -> None:
    time = gpu_time([{**ATTEMPT, "gpus": 1}, {**ATTEMPT, "gpus": 4}])
    assert time.of_gpus
    assert time.reserved == 5 * 92.0
    assert time.shares["start"] == 5 * 20.5
    assert math.fsum(time.shares.values()) == pytest.approx(time.reserved)


def test_a_study_without_gpus_is_told_in_seconds() -> None:
    time = gpu_time([{**ATTEMPT, "gpus": 0}, {**ATTEMPT, "gpus": 0}])
    assert not time.of_gpus
    assert time.reserved == 2 * 92.0
    assert time.devices == 0


def test_what_lost_attempts_reserved_is_counted_apart_and_in_no_share() -> None:
    time = gpu_time([{**ATTEMPT, "gpus": 1}, {"gpus": 2, "seconds_reserved": 10.0}])
    assert time.untold == 20.0
    assert math.fsum(time.shares.values()) + time.untold == pytest.approx(time.reserved)


def test_rows_that_do_not_know_what_they_reserved_are_left_out() -> None:
    older = {**ATTEMPT, "gpus": 1, "seconds_reserved": None}
    assert gpu_time([older]) == GpuTime(
        True, 0, 0.0, dict.fromkeys(GPU_TIME_SHARES, 0.0), 0, 0, 0, 0
    )


def test_a_device_that_waits_for_its_next_attempt_stands_idle() -> None:
    time = gpu_time([stay(0, 100), stay(110, 200)])
    assert (time.devices, time.device_s, time.between_s) == (1, 200.0, 10.0)


def test_a_device_that_is_done_early_stands_idle_until_the_study_ends() -> None:
    time = gpu_time([stay(0, 100, "0"), stay(0, 60, "1")])
    assert (time.devices, time.device_s, time.between_s) == (2, 200.0, 40.0)


def test_the_same_id_on_another_node_is_another_device() -> None:
    time = gpu_time([stay(0, 100, "0"), stay(0, 100, "0", node="n2")])
    assert (time.devices, time.between_s) == (2, 0.0)


def test_a_wide_attempt_occupies_all_its_devices() -> None:
    time = gpu_time([stay(0, 100, "0", "1"), stay(100, 150, "1")])
    assert (time.devices, time.device_s, time.between_s) == (2, 300.0, 50.0)


def test_a_pause_in_which_nothing_of_the_study_ran_is_nobody_s_time() -> None:
    """It was stopped in the evening and continued in the morning."""
    night_s = 12 * 3600.0
    time = gpu_time([stay(0, 100), stay(100 + night_s, 200 + night_s)])
    assert (time.device_s, time.between_s) == (200.0, 0.0)


def test_a_long_wait_beside_a_running_attempt_is_idle_time() -> None:
    hours_s = 2 * 3600.0
    time = gpu_time([stay(0, hours_s, "0"), stay(0, 60, "1"), stay(hours_s - 60, hours_s, "1")])
    assert time.between_s == hours_s - 120


def test_rows_as_pandas_reads_them_are_understood() -> None:
    frame = pd.DataFrame([{**stay(0, 100), "ended_at": pd.NaT}, stay(110, 200)])
    frame["seconds_warmup"] = [1.0, float("nan")]
    time = gpu_time(frame.to_dict("records"))
    assert (time.devices, time.device_s, time.attempts) == (1, 90.0, 2)
    assert time.shares["warmup"] == 1.0


def test_a_study_of_which_nothing_has_ended_has_no_time() -> None:
    time = gpu_time([])
    assert (time.reserved, time.devices, time.between_s) == (0.0, 0, 0.0)
