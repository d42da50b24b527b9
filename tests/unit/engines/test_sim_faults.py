import os
import signal
import time

import pytest

from autotuner.engines.sim_faults import Faults, Verdict


class EndedError(Exception):
    """Raised in place of ending the process."""


@pytest.fixture
def process(monkeypatch):
    """What the faults do to the process: naps taken, and an exit that raises `EndedError`."""
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) > 3:
            raise EndedError("still asleep")

    def end(status):
        raise EndedError(status)

    monkeypatch.setattr(time, "sleep", nap)
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return naps


def verdicts(faults, count=4):
    return [faults.verdict(number).value for number in range(1, count + 1)]


def test_without_a_fault_the_server_starts_and_serves(process):
    Faults().at_start()
    assert sum(process) == 0
    assert verdicts(Faults()) == ["serve"] * 4


def test_a_slow_start_takes_the_seconds_asked_for(process):
    Faults(slow_start_s=7.5).at_start()
    assert process == [7.5]


def test_a_hanging_start_never_returns(process):
    with pytest.raises(EndedError, match="still asleep"):
        Faults(hang_at_start=True).at_start()


@pytest.mark.parametrize(
    ("faults", "status", "words"),
    [
        (Faults(crash_at_start=True), 1, "Traceback"),
        (Faults(oom_at_start=True), 1, "torch.OutOfMemoryError: CUDA out of memory."),
        (Faults(crash_at_start=True, exit_code=7), 7, "Traceback"),
        (Faults(exit_code=3), 3, ""),
    ],
)
def test_a_crash_at_start_has_its_status_and_its_last_words(process, capsys, faults, status, words):
    with pytest.raises(EndedError) as ended:
        faults.at_start()
    assert ended.value.args == (status,)
    assert words in capsys.readouterr().err


def test_a_crash_under_load_has_the_status_of_a_segmentation_fault_unless_told_otherwise(process):
    with pytest.raises(EndedError, match="139"):
        Faults(crash_after_requests=0).crash()
    faults = Faults(crash_after_requests=0, exit_code=9)
    faults.at_start()
    with pytest.raises(EndedError, match="9"):
        faults.crash()


@pytest.mark.parametrize(
    ("faults", "last"),
    [
        (Faults(crash_after_requests=2), Verdict.CRASH),
        (Faults(hang_after_requests=2), Verdict.HANG),
        (Faults(stall_tokens_after_requests=2), Verdict.STALL),
        (Faults(fill_disk_after_requests=2), Verdict.FILL_DISK),
        (Faults(error_after_requests=2), Verdict.ERROR),
    ],
)
def test_after_n_requests_n_are_served_and_no_more(faults, last):
    assert verdicts(faults) == ["serve", "serve", last.value, last.value]


def test_every_nth_request_is_refused():
    assert verdicts(Faults(error_every=2)) == ["serve", "error", "serve", "error"]


def test_a_disk_can_be_filled_at_the_first_request():
    assert verdicts(Faults(fill_disk=True), count=1) == ["fill_disk"]


def test_a_full_disk_ends_the_server_with_the_words_of_python(
    process, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fault-fill-disk").symlink_to("/dev/full")  # is full from the first byte
    with pytest.raises(EndedError, match="1"):
        Faults(fill_disk=True).fill_the_disk()
    assert capsys.readouterr().err == "OSError: [Errno 28] No space left on device\n"
