"""Of `genai_bench_levels` what can be told without genai-bench; the rest is a contract test."""

import sys
from itertools import islice
from types import SimpleNamespace

import pytest

from autotuner.bench.genai_bench_levels import go_on


@pytest.fixture
def levels(tmp_path, monkeypatch):
    """What genai-bench goes through, the file that tells the rest, and what happens in a wait."""
    waits = []
    monkeypatch.setitem(sys.modules, "gevent", SimpleNamespace(sleep=lambda _: waits.pop(0)()))
    command = SimpleNamespace(callback=lambda num_concurrency: num_concurrency)
    told = tmp_path / "levels"
    go_on(command, told)

    def of(*own):
        return command.callback(num_concurrency=own)

    return SimpleNamespace(of=of, told=told, waits=waits)


def test_the_levels_that_are_told_follow_those_of_the_command_line(levels):
    levels.told.write_text("8\n2\n")
    assert list(islice(levels.of(1, 4), 4)) == [1, 4, 8, 2]


def test_what_is_not_told_yet_is_waited_for(levels):
    levels.waits += [
        lambda: levels.told.write_text("16\n"),
        lambda: levels.told.write_text("16\n3"),
        lambda: levels.told.write_text("16\n32\n"),
    ]
    assert list(islice(levels.of(1), 3)) == [1, 16, 32]
    assert levels.waits == []


def test_whoever_looks_ahead_sees_the_levels_of_the_command_line(levels):
    own = levels.of(1, 4)
    assert isinstance(own, tuple)
    assert len(own) == 2
    assert own == (1, 4)
