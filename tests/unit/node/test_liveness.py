import socket
import sys
import threading

import pytest

from autotuner.bench.base import Target
from autotuner.engines.sim import SimEngine
from autotuner.node import failures, liveness
from autotuner.node.failures import AttemptCancelledError, AttemptFailedError
from autotuner.spec.experiment import Cancelled, FailureKind, Phase, Timeouts
from autotuner.spec.workload import Level

TARGET = Target("http://127.0.0.1:1", "ours", "/models/tiny", "vllm")
# The simulated server in a folder whose disk takes nothing: its file is there, and full.
FULL = """
import os, sys
os.symlink("/dev/full", "fault-fill-disk")
from autotuner.engines.sim_server import main
port, name, served = sys.argv[1:]
main(["--model", "/models/tiny", "--served-model-name", name, "--port", port, "--time-scale",
      "0.05", "--fault-fill-disk-after-requests", served])
"""
LEVEL = Level("chat", "D(16,8)", 4)


@pytest.fixture
def probe(monkeypatch, fake_server):
    """Ask a server whose next answer is the error given."""

    def run(error=None, *, server=None, **options):
        def ask(*_arguments, **_options):
            if error is not None:
                raise error

        monkeypatch.setattr(liveness, "ask", ask)
        return liveness.answers(
            server or fake_server(), TARGET, SimEngine(), after=LEVEL, **options
        )

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


@pytest.fixture
def deaf():
    """The address of a server that takes connections and does nothing else; its clients."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        clients = []

        def take():
            client, _ = listener.accept()
            clients.append(client)

        thread = threading.Thread(target=take)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", thread, clients
        thread.join()
        for client in clients:
            client.close()


def ask_the_deaf(url, fake_server, **options):
    target = Target(url, "ours", "/models/tiny", "vllm")
    return liveness.answers(fake_server(log="a\nlog"), target, SimEngine(), after=LEVEL, **options)


def test_a_silent_level_and_a_silent_probe_are_a_hang_that_names_the_setting(
    deaf, fake_server, monkeypatch
):
    monkeypatch.setattr(failures, "_DYING_S", 0.0)
    with pytest.raises(AttemptFailedError) as caught:
        ask_the_deaf(deaf[0], fake_server, silent_s=120.0, no_token_s=0.3)
    failed = caught.value.failed
    assert failed.kind is FailureKind.SERVER_HUNG
    assert failed.message.startswith("no token for 120 s under load (timeouts.no_token_s)")
    assert "though the process lives" in failed.message
    assert failed.evidence == "a\nlog"


def test_a_probe_can_be_called_off_and_leaves_no_request_behind(deaf, fake_server):
    url, taken, clients = deaf

    def check_cancelled():
        if clients:
            raise AttemptCancelledError(Cancelled("enough"))

    with pytest.raises(AttemptCancelledError):
        ask_the_deaf(url, fake_server, no_token_s=3600.0, check_cancelled=check_cancelled)
    taken.join()
    clients[0].settimeout(60.0)
    while clients[0].recv(4096):
        """Its request, and then its end."""


def test_a_probe_ends_with_the_server(deaf, fake_server):
    with pytest.raises(AttemptFailedError) as caught:
        ask_the_deaf(deaf[0], lambda **options: fake_server(lives=5, **options), no_token_s=3600.0)
    assert caught.value.failed.kind is FailureKind.SERVER_CRASHED


def test_an_answer_that_makes_no_sense_at_all_is_not_swallowed(probe):
    with pytest.raises(KeyError):
        probe(KeyError("choices"))


@pytest.mark.parametrize("fault", ["hang-after-requests", "stall-tokens-after-requests"])
def test_an_attempt_whose_server_falls_silent_ends_long_before_its_stop_rule(
    run, make_workload, monkeypatch, fault
):
    monkeypatch.setattr(failures, "_DYING_S", 0.0)
    monkeypatch.setattr(liveness, "_PROBE_S", 1.0)
    # /health and /v1/models of this server go on answering.
    endless = make_workload(concurrency=(1,), requests=None, seconds=3600.0)
    limits = Timeouts(start_s=3600.0, warmup_s=3600.0, no_token_s=1.0, stop_s=5.0)
    told = run(flags={f"fault-{fault}": 20}, workloads=(endless,), timeouts=limits)
    assert told.outcome.kind is FailureKind.SERVER_HUNG
    assert told.outcome.phase is Phase.LOAD
    assert "though the process lives" in told.outcome.message
    assert told.statuses == ["failed"]
    assert "timeouts.no_token_s" in told.levels[0].reason


def test_errors_under_load_keep_their_status_as_evidence(run, make_workload, monkeypatch):
    monkeypatch.setattr(failures, "_DYING_S", 0.0)
    told = run(
        flags={"fault-error-after-requests": 20, "fault-error-status": 503},
        workloads=(make_workload(concurrency=(1,), requests=40, seconds=3600.0),),
    )
    assert told.outcome.kind is FailureKind.REQUESTS_FAILED
    assert told.outcome.phase is Phase.LOAD
    assert "503" in told.outcome.evidence


@pytest.mark.parametrize(("served", "phase"), [(0, Phase.WARMUP), (20, Phase.LOAD)])
def test_a_server_that_fills_its_disk_has_filled_its_disk(
    run, make_workload, tmp_path, served, phase
):
    full = ["-c", FULL, "{port}", "{served_name}", str(served)]
    told = run(
        engine="custom",
        command=[sys.executable, *full],
        workloads=(make_workload(concurrency=(1,), requests=40, seconds=3600.0),),
    )
    assert (told.outcome.kind, told.outcome.phase) == (FailureKind.DISK_FULL, phase)
    assert "No space left on device" in told.outcome.evidence
