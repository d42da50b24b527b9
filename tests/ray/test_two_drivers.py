"""Two drivers that measure the same study at once: on one Ray, and on two Rays of one machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ray

SCRIPT = Path(__file__).with_name("two_drivers.py")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A process of its own: this one may have a Ray already."""
    environment = {name: v for name, v in os.environ.items() if not name.startswith("RAY_")}
    environment["RAY_AUTH_MODE"] = "disabled"  # whoever has a token wants one of the cluster, too
    drivers = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path_factory.mktemp("two"))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert drivers.returncode == 0, drivers.stdout + drivers.stderr
    said: dict[str, Any] = json.loads(drivers.stdout.splitlines()[-1])
    return said


def test_both_had_the_same_study_and_the_same_attempts(told: dict[str, Any]) -> None:
    """Else the rest of this file would prove nothing."""
    first, second = told["drivers"]
    assert first["study_id"] == second["study_id"]
    assert set(first["attempts"]) == set(second["attempts"])
    assert told["together"]  # servers of both lived at one time


def test_each_measures_its_own_servers_and_loses_none(told: dict[str, Any]) -> None:
    for driver in told["drivers"]:
        assert driver["exit"] == 0, driver["said"]
        assert driver["outcomes"] == ["completed"] * 4
        assert set(driver["attempts"].values()) == {1}  # nothing was tried twice
        assert driver["swept"] == []  # nobody took the other's living for the dead


def test_no_name_is_used_twice(told: dict[str, Any]) -> None:
    first, second = (set(driver["served"]) for driver in told["drivers"])
    assert len(first) == len(second) == 4
    assert not first & second
    assert len(told["actors"]) == len(set(told["actors"])) == 8


def test_no_device_is_used_by_two_at_once(told: dict[str, Any]) -> None:
    assert told["shared_devices"] == []
