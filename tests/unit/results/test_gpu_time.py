from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotuner.results.gpu_time import reserved_columns, reserved_seconds
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
