import pytest

from autotuner.spec.durations import seconds_of


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90),
        (0.5, 0.5),
        ("8h", 28800),
        ("90m", 5400),
        ("90 min", 5400),
        ("1h30m", 5400),
        ("1H 30M", 5400),
        ("1.5h", 5400),
        ("2d", 172800),
        ("45s", 45),
    ],
)
def test_a_duration_is_seconds_or_numbers_with_units(written: object, seconds: float) -> None:
    assert seconds_of(written) == seconds


@pytest.mark.parametrize(
    "written", [0, -1, True, None, "", "8", "8 hours", "h", "8h30", "-8h", "0h", "1:30", [8]]
)
def test_anything_else_is_none(written: object) -> None:
    assert seconds_of(written) is None
