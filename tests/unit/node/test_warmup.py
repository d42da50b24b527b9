import pytest

from autotuner.bench.base import Target
from autotuner.engines.sim import SimEngine
from autotuner.node import failures, warmup
from autotuner.node.failures import AttemptCancelledError, AttemptFailedError
from autotuner.spec.experiment import Cancelled, FailureKind, Phase

TARGET = Target("http://127.0.0.1:1", "ours", "/models/tiny", "vllm")


@pytest.fixture
def sent(monkeypatch):
    """The requests that a warm-up sends; an exception put first is raised by the next."""
    requests = []

    def ask(target, prompt, *, max_tokens, timeout_s, request=None):
        if requests and isinstance(requests[0], BaseException):
            raise requests[0]
        requests.append((prompt, max_tokens, request))

    monkeypatch.setattr(warmup, "ask", ask)
    monkeypatch.setattr(warmup, "prompt_of", lambda target, tokens, timeout_s: f"{tokens} tokens")
    return requests


@pytest.fixture
def warm_up(fake_server, make_workload):
    def run(server=None, *, timeout_s=3600.0, check_cancelled=lambda: None, **workload):
        warmup.warm_up(
            server or fake_server(),
            TARGET,
            SimEngine(),
            make_workload(**workload),
            timeout_s=timeout_s,
            check_cancelled=check_cancelled,
        )

    return run


def failure(warm_up, *arguments, **options):
    with pytest.raises(AttemptFailedError) as caught:
        warm_up(*arguments, **options)
    assert caught.value.failed.phase is Phase.WARMUP
    return caught.value.failed


def test_as_many_requests_are_sent_as_asked_in_the_shape_of_the_traffic(warm_up, sent):
    warm_up(warmup_requests=3)
    assert sent == [("16 tokens", 8, {})] * 3


def test_by_default_there_are_as_many_as_the_highest_concurrency(warm_up, sent):
    warm_up(warmup_requests=None, concurrency=(1, 5, 2))
    assert len(sent) == 5


def test_none_are_sent_where_none_are_wanted(warm_up, sent):
    warm_up(warmup_requests=0)
    assert sent == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError("timed out"), FailureKind.SERVER_HUNG),
        (OSError("HTTP 503: loading"), FailureKind.REQUESTS_FAILED),
        (ConnectionResetError(104, "reset"), FailureKind.REQUESTS_FAILED),
        (OSError("HTTP 400: unknown field"), FailureKind.CONFIG_REJECTED),
    ],
)
def test_a_failed_request_says_what_kind_of_failure_it_is(warm_up, sent, monkeypatch, error, kind):
    monkeypatch.setattr(failures, "_DYING_S", 0.0)
    sent.append(error)
    assert failure(warm_up).kind is kind


def test_a_broken_connection_of_a_server_that_then_ends_is_its_crash(warm_up, sent, fake_server):
    sent.append(ConnectionResetError(104, "reset"))
    assert failure(warm_up, fake_server(lives=5)).kind is FailureKind.SERVER_CRASHED


def test_a_server_that_refuses_the_request_is_not_waited_for(warm_up, sent, fake_server):
    sent.append(OSError("HTTP 404: no such model"))
    assert failure(warm_up, fake_server(lives=3)).kind is FailureKind.CONFIG_REJECTED


def test_a_bug_in_the_client_is_no_failure_of_the_server(warm_up, sent, monkeypatch):
    monkeypatch.setattr(failures, "_DYING_S", 0.0)
    sent.append(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        warm_up()


def test_a_cancellation_ends_the_warm_up(warm_up, sent):
    def cancelled():
        raise AttemptCancelledError(Cancelled("enough"))

    with pytest.raises(AttemptCancelledError):
        warm_up(check_cancelled=cancelled)
