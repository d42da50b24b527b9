"""A custom resource of Ray in place of GPUs: servers elsewhere are never more than it allows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ray

ON_EACH = 4
SCRIPT = Path(__file__).with_name("quota_study.py")


def told_by(folder: Path, *words: str) -> list[dict[str, Any]]:
    """A process of its own: this one may have a Ray already."""
    environment = {name: v for name, v in os.environ.items() if not name.startswith("RAY_")}
    environment["RAY_AUTH_MODE"] = "disabled"  # whoever has a token wants one of the cluster, too
    driver = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert driver.returncode == 0, driver.stdout + driver.stderr
    told: list[dict[str, Any]] = json.loads(driver.stdout.splitlines()[-1])
    return told


def outcomes(told: list[dict[str, Any]]) -> list[str]:
    return [event["outcome"] for event in told if "ends" in event]


def test_on_two_nodes_no_more_is_taken_than_each_has(tmp_path: Path) -> None:
    told = told_by(tmp_path)
    assert outcomes(told) == ["Completed"] * 6
    shares: dict[str, tuple[str, int]] = {}
    taken: Counter[str] = Counter()
    most_at_once = 0
    for event in told:
        if "starts" in event:
            shares[event["starts"]] = (event["node"], event["share"])
            taken[event["node"]] += event["share"]
        elif "ends" in event:
            node, share = shares[event["ends"]]
            taken[node] -= share
        else:  # Ray's own books, while a server is loaded
            assert event["total"] == 2 * ON_EACH
            assert event["free"] < event["total"]
        assert max(taken.values(), default=0) <= ON_EACH
        most_at_once = max(most_at_once, sum(taken.values()))
    assert most_at_once > ON_EACH  # both nodes gave of it
    assert sorted(share for _, share in shares.values()) == [1, 1, 2, 2, 3, 4]


def test_a_ray_that_is_started_here_has_it_for_the_widest_server(tmp_path: Path) -> None:
    told = told_by(tmp_path, "local")
    assert outcomes(told) == ["Completed"] * 6
    assert {event["total"] for event in told if "total" in event} == {ON_EACH}
