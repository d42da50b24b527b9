import pytest

from autotuner.bench import genai_bench_progress, silence
from autotuner.bench.genai_bench_progress import Progress
from autotuner.results.node_cpus import NodeCpus
from autotuner.spec.workload import Level

LEVELS = [Level("chat", "D(10,5)", concurrency) for concurrency in (1, 2)]
FINISHED = {"event": "level_finished"}
TOKENS = {"event": "alive", "tokens": True}
NO_TOKENS = {"event": "alive", "tokens": False}
CUT = {"event": "request", "started": 1.0, "cut": True}


def started(concurrency):
    return {
        "event": "level_started",
        "concurrency": concurrency,
        "clock": 0.0,
        "time": 1_700_000_000.0,
    }


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    for module in (genai_bench_progress, silence):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def progress(clock):
    return Progress(
        LEVELS, boot_s=300.0, level_limit_s=3600.0, no_token_s=100.0, last_words=lambda: "words"
    )


def after(progress, clock, *story):
    """Let events (or seconds, as numbers) pass; the failure so far."""
    for step in story:
        if isinstance(step, dict):
            progress.take(step)
        else:
            clock.now += step
            progress.look_at_the_clock()
    return progress.failure


def test_the_start_of_a_level_is_a_sign_of_life(progress, clock):
    assert after(progress, clock, 200, started(1), 99) is None


def test_where_tokens_flow_a_level_may_last(progress, clock):
    assert after(progress, clock, started(1), *[90, TOKENS] * 20) is None


def test_where_requests_end_a_level_may_last(progress, clock):
    assert after(progress, clock, started(1), *[90, CUT] * 20) is None


def test_where_only_genai_bench_lives_the_server_is_silent(progress, clock):
    failure = after(progress, clock, started(1), TOKENS, *[NO_TOKENS, 10] * 11)
    assert failure == "no request received a token or ended for 100 s (timeouts.no_token_s)"
    (lost,) = progress.lost()
    assert (lost.failure, lost.silent_s, progress.waiting) == (failure, 100.0, LEVELS[1:])


@pytest.mark.parametrize("story", [(TOKENS, 101), (TOKENS, 45, NO_TOKENS, 56)])
def test_where_genai_bench_is_mute_too_it_is_the_one_that_hangs(progress, clock, story):
    failure = after(progress, clock, started(1), *story)
    assert failure.startswith("genai-bench itself gave no sign of life for 100 s")
    assert failure.endswith("words")
    (lost,) = progress.lost()
    assert lost.silent_s is None


def test_no_token_is_due_once_the_stop_rule_is_met(progress, clock):
    assert after(progress, clock, started(1), {"event": "stop_rule_met"}, 500) is None


def test_no_token_is_due_between_two_levels(progress, clock):
    assert after(progress, clock, started(1), FINISHED, 200) is None


def test_a_level_that_outlasts_its_grace_is_lost(progress, clock):
    failure = after(progress, clock, started(1), *[90, TOKENS] * 41)
    assert failure.startswith("genai-bench did not come to an end in time")
    assert [lost.level for lost in progress.lost()] == LEVELS[:1]


def test_where_nothing_began_everything_is_lost(progress, clock):
    assert "began no level within 300 s" in after(progress, clock, 301)
    assert [lost.level for lost in progress.lost()] == LEVELS
    assert progress.waiting == []


def test_between_two_levels_nothing_is_lost(progress, clock):
    assert "began no level" in after(progress, clock, started(1), FINISHED, 301)
    assert list(progress.lost()) == []
    assert progress.waiting == LEVELS[1:]


def test_the_first_failure_stays(progress, clock):
    progress.fail("the first")
    assert after(progress, clock, 301) == "the first"


def test_levels_beyond_those_asked_for_are_not_there(progress, clock):
    after(progress, clock, started(1), FINISHED, started(2), FINISHED)
    assert progress.ended
    assert after(progress, clock, started(4)) is None
    assert list(progress.lost()) == []


def test_a_level_that_is_told_later_has_its_own_patience_with_its_beginning(progress, clock):
    after(progress, clock, started(1), FINISHED, started(2), FINISHED, 290)
    assert progress.ended
    progress.expect(Level("chat", "D(10,5)", 4))
    assert not progress.ended
    assert after(progress, clock, 290) is None
    assert "began no level" in after(progress, clock, 20)


def test_where_nothing_began_the_levels_that_are_told_later_are_lost_too(progress, clock):
    after(progress, clock, 301)
    later = [Level("chat", "D(10,5)", 4)]
    assert [lost.level for lost in progress.lost(iter(later))] == [*LEVELS, *later]


class Watch:
    """Hands out, for each level, what was used up to the moment that it is asked."""

    def __init__(self, clock):
        self.clock = clock

    def __call__(self):
        begun = self.clock.now
        return lambda: NodeCpus(own=self.clock.now - begun)


def watched(clock, *story):
    words = {"boot_s": 300.0, "level_limit_s": 3600.0, "no_token_s": 100.0}
    progress = Progress(LEVELS, last_words=lambda: "words", watch_cpus=Watch(clock), **words)
    after(progress, clock, *story)
    return progress


def test_cpus_are_watched_from_the_start_of_a_level_to_its_stop_rule(clock):
    progress = watched(clock, 50, started(1), 7, {"event": "stop_rule_met"}, 20)
    assert progress.take(FINISHED).cpus == NodeCpus(own=7.0)
    after(progress, clock, 30, started(2), 5)
    assert progress.take(FINISHED).cpus == NodeCpus(own=5.0)


def test_cpus_are_watched_in_a_level_that_is_lost_too(clock):
    progress = watched(clock, started(1), 9)
    progress.fail("gone")
    (lost,) = progress.lost()
    assert lost.cpus == NodeCpus(own=9.0)
