import pytest

from autotuner.bench.base import Target
from autotuner.engines.sim import SimEngine
from autotuner.node import failures, liveness
from autotuner.node.failures import AttemptFailedError
from autotuner.spec.experiment import FailureKind, Phase
from autotuner.spec.workload import Level

TARGET = Target("http://127.0.0.1:1", "ours", "/models/tiny", "vllm")
LEVEL = Level("chat", "D(16,8)", 4)


@pytest.fixture
def probe(monkeypatch, fake_server):
    """Ask a server whose next answer is the error given."""

    def run(error=None, *, server=None):
        def ask(*_arguments, **_options):
            if error is not None:
                raise error

        monkeypatch.setattr(liveness, "ask", ask)
        return liveness.answers(server or fake_server(), TARGET, SimEngine(), after=LEVEL)

    return run


def test_a_request_that_succeeds_is_an_answer(probe):
    assert probe()


def test_an_error_is_no_answer_and_no_reason_to_stop(probe, monkeypatch):
    monkeypatch.setattr(failures, "_DYING_S", 0.0)
    assert not probe(OSError("HTTP 500: out of luck"))


@pytest.mark.parametrize("error", [TimeoutError("timed out"), ConnectionRefusedError(111, "no")])
def test_a_process_that_lives_and_does_not_answer_has_hung(probe, monkeypatch, error):
    monkeypatch.setattr(failures, "_DYING_S", 0.0)
    with pytest.raises(AttemptFailedError) as caught:
        probe(error)
    failed = caught.value.failed
    assert (failed.kind, failed.phase) == (FailureKind.SERVER_HUNG, Phase.LOAD)
    assert str(LEVEL) in failed.message


@pytest.mark.parametrize(
    "error", [OSError("HTTP 500: dying"), ConnectionRefusedError(111, "no"), TimeoutError()]
)
def test_a_process_that_ends_meanwhile_has_crashed(probe, fake_server, error):
    with pytest.raises(AttemptFailedError) as caught:
        probe(error, server=fake_server(lives=3))
    assert caught.value.failed.kind is FailureKind.SERVER_CRASHED
