import pytest

from autotuner.bench import silence
from autotuner.bench.silence import Silence


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(silence, "time", clock)
    return clock


def test_a_silence_begins_with_patience(clock):
    quiet = Silence(10.0)
    clock.now = 10.0
    assert not quiet.too_long
    clock.now = 10.1
    assert quiet.too_long


def test_a_token_breaks_the_silence(clock):
    quiet = Silence(10.0)
    clock.now = 9.0
    quiet.token()
    clock.now = 18.0
    assert not quiet.too_long


def test_a_word_does_not_break_it_but_tells_whose_it_is(clock):
    quiet = Silence(10.0)
    clock.now = 9.0
    assert not quiet.of_the_server
    quiet.word()
    clock.now = 11.0
    assert quiet.too_long
    assert quiet.of_the_server


def test_its_failure_names_the_setting():
    assert "for 2.5 s (timeouts.no_token_s)" in Silence(2.5).failure
