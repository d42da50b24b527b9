from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from autotuner.errors import OutputError
from autotuner.results.files import ResultPaths
from autotuner.results.lock import sole_writer
from autotuner.results.stop_request import ask_to_stop, stop_requests

Wait = Callable[[Callable[[], object]], bool]


def test_a_driver_that_runs_is_asked_and_waited_for(tmp_path: Path, wait_until: Wait) -> None:
    paths = ResultPaths(tmp_path)
    holds = threading.Event()

    def drive() -> None:
        with sole_writer(tmp_path), stop_requests(paths) as wanted:
            holds.set()
            wait_until(wanted)

    driver = threading.Thread(target=drive)
    driver.start()
    holds.wait()
    assert ask_to_stop(paths, timeout_s=60)
    driver.join()
    assert not paths.stop_request.exists()


def test_where_no_driver_runs_there_is_nothing_to_stop(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no study is running in"):
        ask_to_stop(ResultPaths(tmp_path), timeout_s=60)
    assert not ResultPaths(tmp_path).stop_request.exists()


def test_a_driver_that_does_not_end_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with sole_writer(tmp_path):
        assert not ask_to_stop(ResultPaths(tmp_path), timeout_s=0)


def test_a_request_to_an_earlier_driver_does_not_stop_the_next_one(tmp_path: Path) -> None:
    paths = ResultPaths(tmp_path)
    paths.stop_request.touch()
    with stop_requests(paths) as wanted:
        assert not wanted()
