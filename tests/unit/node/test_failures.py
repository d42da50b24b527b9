import errno

import pytest

from autotuner.bench.base import LevelLoad
from autotuner.engines.sim import SimEngine
from autotuner.launchers.base import LaunchFault
from autotuner.node.failures import (
    kind_of_level_failure,
    log_end,
    masked,
    server_ended,
    soon_ended,
    unexpected,
)
from autotuner.spec.experiment import Cancelled, Completed, Failed, FailureKind, Phase
from autotuner.spec.workload import Level


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


NO_SPACE = (
    "genai-bench ended early (exit status 1); its last lines:\n[Errno 28] No space left on device"
)


@pytest.mark.parametrize(
    ("failure", "silent_s", "well", "kind"),
    [
        (None, None, True, FailureKind.REQUESTS_FAILED),
        (None, None, False, FailureKind.REQUESTS_FAILED),
        ("genai-bench ended early", None, True, FailureKind.BENCH_FAILED),
        ("genai-bench ended early", None, False, FailureKind.REQUESTS_FAILED),
        (NO_SPACE, None, True, FailureKind.DISK_FULL),
        ("no request received a token", 120.0, True, FailureKind.SERVER_HUNG),
    ],
)
def test_a_failed_level_is_blamed_on_the_server_the_load_generator_or_the_disk(
    failure, silent_s, well, kind
):
    load = LevelLoad(Level("chat", "D(16,8)", 4), (), None, failure, silent_s)
    assert kind_of_level_failure(load, well=well) is kind


def raised(error):
    try:
        raise error
    except Exception as caught:
        return caught


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_bug_of_ours(number):
    failed = unexpected(raised(OSError(number, "full", "/tmp/x")), Phase.LOAD)
    assert (failed.kind, failed.phase) == (FailureKind.DISK_FULL, Phase.LOAD)
    assert "/tmp/x" in failed.message
    assert "Traceback" in failed.evidence


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), ZeroDivisionError("a bug")])
def test_any_other_surprise_is_a_bug_with_its_traceback(error):
    failed = unexpected(raised(error), Phase.WARMUP)
    assert (failed.kind, failed.phase) == (FailureKind.INTERNAL_ERROR, Phase.WARMUP)
    assert str(error) in failed.message
    assert failed.evidence.startswith("Traceback")


def test_what_the_launcher_saw_counts_more_than_the_log(fake_server):
    server = fake_server(log="ValueError: no such flag", lives=0)
    server.trouble = LaunchFault(FailureKind.OUT_OF_MEMORY_AT_LOAD, "OOM-killed", "OOMKilled: true")
    failed = server_ended(server, SimEngine(), Phase.SERVER_START, ready=False)
    assert (failed.kind, failed.message) == (FailureKind.OUT_OF_MEMORY_AT_LOAD, "OOM-killed")
    assert failed.evidence == "OOMKilled: true"


def test_memory_that_runs_out_after_the_start_ran_out_under_load(fake_server):
    server = fake_server(lives=0)
    server.trouble = LaunchFault(FailureKind.OUT_OF_MEMORY_AT_LOAD, "OOM-killed")
    failed = server_ended(server, SimEngine(), Phase.LOAD, ready=True)
    assert failed.kind is FailureKind.OUT_OF_MEMORY_UNDER_LOAD


def test_of_a_launcher_that_saw_only_an_end_the_log_tells_the_reason(fake_server):
    server = fake_server(log="torch.OutOfMemoryError: CUDA out of memory.", lives=0)
    server.trouble = LaunchFault(FailureKind.SERVER_CRASHED, "the pod ended with exit code 1")
    failed = server_ended(server, SimEngine(), Phase.SERVER_START, ready=False)
    assert failed.kind is FailureKind.OUT_OF_MEMORY_AT_LOAD
    assert failed.message.endswith("the pod ended with exit code 1")


def test_where_the_log_says_nothing_either_its_end_is_the_evidence(fake_server):
    server = fake_server(log="last words", lives=0)
    server.trouble = LaunchFault(FailureKind.SERVER_CRASHED, "the pod ended with exit code 1")
    failed = server_ended(server, SimEngine(), Phase.SERVER_START, ready=False)
    assert (failed.kind, failed.evidence) == (FailureKind.SERVER_CRASHED, "last words")
