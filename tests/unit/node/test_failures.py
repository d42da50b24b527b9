import pytest

from autotuner.engines.sim import SimEngine
from autotuner.node.failures import log_end, masked, server_ended, soon_ended
from autotuner.spec.experiment import Cancelled, Completed, Failed, FailureKind, Phase


def test_the_log_names_the_failure_and_the_exit_is_told_too(fake_server):
    server = fake_server(log="torch.OutOfMemoryError: CUDA out of memory.", lives=0)
    failed = server_ended(server, SimEngine(), Phase.LOAD, ready=True)
    assert failed.kind is FailureKind.OUT_OF_MEMORY_UNDER_LOAD
    assert failed.phase is Phase.LOAD
    assert failed.message.endswith("(exit status 1)")
    assert "CUDA out of memory" in failed.evidence


def test_a_log_without_a_known_reason_is_a_crash_with_its_last_lines(fake_server):
    server = fake_server(log="\n".join(f"line {n}" for n in range(100)), lives=0)
    failed = server_ended(server, SimEngine(), Phase.SERVER_START, ready=False)
    assert failed.kind is FailureKind.SERVER_CRASHED
    assert failed.evidence.splitlines() == [f"line {n}" for n in range(70, 100)]


def test_the_end_of_a_short_log_is_all_of_it():
    assert log_end("one\ntwo\n") == "one\ntwo"


def test_a_dying_server_is_given_time_to_end(fake_server):
    assert soon_ended(fake_server(lives=4))


def test_a_server_that_lives_on_is_not_waited_for_without_end(fake_server, monkeypatch):
    monkeypatch.setattr("autotuner.node.failures._DYING_S", 0.0)
    assert not soon_ended(fake_server())


def test_secrets_are_masked_in_message_and_evidence():
    failed = Failed(FailureKind.SERVER_CRASHED, Phase.LOAD, "said sesame", "sesame, twice: sesame")
    hidden = masked(failed, ["sesame"])
    assert hidden == Failed(failed.kind, failed.phase, "said ***", "***, twice: ***")


@pytest.mark.parametrize("outcome", [Completed(), Cancelled("sesame")])
def test_other_outcomes_show_no_log(outcome):
    assert masked(outcome, ["sesame"]) is outcome
