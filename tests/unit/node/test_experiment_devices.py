"""Attempts on devices that others hold, before the start or after the end. Simulated devices."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace

import pytest

from autotuner.engines.sim_devices import SIM_GPUS_VARIABLE, make_devices
from autotuner.node import devices, measurement
from autotuner.node.events import AttemptEnded, PhaseStarted, SlotCleared
from autotuner.node.experiment import run_attempt
from autotuner.spec.experiment import Cancelled, Completed, Failed, FailureKind, Phase, Timeouts
from autotuner.supervision.environment import LEASE_VARIABLE
from autotuner.supervision.lease import LEASE_FILE, held_lease

GIB = 2**30
TIMES = Timeouts(device_s=0.0, start_s=3600.0, warmup_s=3600.0, level_grace_s=10.0, stop_s=5.0)
PHASES = list(Phase)


@pytest.fixture(autouse=True)
def scratch(monkeypatch, tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(devices, "_POLL_S", 0.01)
    monkeypatch.setattr(devices, "_RECHECK_S", 0.0)


class Device:
    """The memory of device 0 that no process answers for."""

    def __init__(self, folder):
        self._file = folder / "0" / "stuck"

    def fill(self):
        self._file.write_text(str(20 * GIB))

    def clear(self):
        self._file.unlink(missing_ok=True)


@pytest.fixture
def device(tmp_path, monkeypatch):
    make_devices(tmp_path / "devices", 1)
    monkeypatch.setenv(SIM_GPUS_VARIABLE, str(tmp_path / "devices"))
    return Device(tmp_path / "devices")


@dataclass
class Attempt:
    """Reads an attempt's events; does what is to be done when a phase begins or it has ended."""

    order: object
    at: dict = field(default_factory=dict)
    stop: str | None = None
    asked: int = 0
    events: list = field(default_factory=list)

    def run(self):
        for event in run_attempt(self.order, gpu_ids=("0",), should_stop=self._should_stop):
            self.events.append(event)
            moment = "end" if isinstance(event, AttemptEnded) else getattr(event, "phase", None)
            self.at.get(moment, lambda: None)()
        return self

    def _should_stop(self):
        self.asked += 1
        return self.stop

    @property
    def ended(self):
        (ended,) = (event for event in self.events if isinstance(event, AttemptEnded))
        return ended

    @property
    def outcome(self):
        return self.ended.outcome

    @property
    def phases(self):
        return [event.phase for event in self.events if isinstance(event, PhaseStarted)]

    @property
    def cleared(self):
        return self.events[-1] == SlotCleared()


@pytest.fixture
def attempt(make_order):
    def make(at=None, *, device_s=0.0, **changes):
        order = make_order(timeouts=replace(TIMES, device_s=device_s), gpus=1, **changes)
        return Attempt(order, at or {})

    return make


def test_on_free_devices_an_attempt_ends_without_a_fault(device, attempt):
    told = attempt().run()
    assert told.outcome == Completed()
    assert told.ended.slot_fault is None
    assert told.ended.facts["gpu_driver"] == "simulated"
    assert told.events[-1] is told.ended
    # The server is stopped within its own phase, which nobody need be told of.
    assert told.phases == [phase for phase in PHASES if phase is not Phase.STOP]
    facts = told.ended.facts
    assert facts["slot_fault"] is facts["swept"] is None
    assert facts["gpu_ids"] == ["0"]
    assert facts["seconds_preflight"] >= 0
    assert facts["seconds_postflight"] >= 0


def test_without_devices_nothing_is_looked_at_after_the_end(device, make_order):
    device.fill()
    events = list(run_attempt(make_order()))
    assert events[-1].outcome == Completed()
    assert PhaseStarted(Phase.POSTFLIGHT) not in events
    assert "seconds_postflight" not in events[-1].facts


def test_two_attempts_at_once_never_share_a_device(device, attempt, monkeypatch):
    """Of two Rays on one machine: each one's books call the device free."""
    monkeypatch.setattr(devices, "_RECHECK_S", 1.0)
    other = attempt()
    other.at["end"] = lambda: setattr(other, "stop", "it need not wait for the device")
    told = attempt({Phase.LOAD: other.run}).run()
    assert told.outcome == Completed()
    assert isinstance(other.outcome, Failed)
    assert other.outcome.kind is FailureKind.DIRTY_GPU
    assert "device 0 (simulated) is another attempt's on this node" in other.outcome.message
    assert other.phases == [Phase.PREFLIGHT]


def test_the_next_attempt_finds_the_device_free(device, attempt):
    later = attempt()
    first = attempt({"end": later.run}).run()
    assert first.outcome == later.outcome == Completed()


class TestBefore:
    def test_on_devices_that_others_hold_nothing_starts(self, device, attempt):
        device.fill()
        told = attempt({"end": device.clear}).run()
        assert told.phases == [Phase.PREFLIGHT]
        assert isinstance(told.outcome, Failed)
        assert (told.outcome.kind, told.outcome.phase) == (
            FailureKind.DIRTY_GPU,
            Phase.PREFLIGHT,
        )
        assert "before the start, device 0 (simulated) holds 20.0 GiB" in told.outcome.message
        assert "timeouts.device_s" in told.outcome.message

    def test_the_slot_has_a_fault_and_is_cleared_when_the_memory_is_free(self, device, attempt):
        device.fill()
        told = attempt({"end": device.clear}).run()
        assert "20.0 GiB" in told.ended.slot_fault
        assert told.ended.facts["slot_fault"] == told.ended.slot_fault
        assert told.cleared
        assert told.events.index(told.ended) == len(told.events) - 2

    def test_memory_that_goes_in_time_is_waited_for(self, device, attempt, monkeypatch):
        device.fill()
        sleep = devices.time.sleep
        monkeypatch.setattr(devices.time, "sleep", lambda s: (device.clear(), sleep(s)))
        told = attempt(device_s=3600.0).run()
        assert told.outcome == Completed()
        assert told.ended.slot_fault is None

    def test_a_device_that_is_not_there_is_a_fault(self, device, attempt, tmp_path):
        gone = tmp_path / "devices" / "0"
        gone.rmdir()
        told = attempt({"end": gone.mkdir}).run()
        assert told.outcome.kind is FailureKind.DIRTY_GPU
        assert "device 0 cannot be read" in told.ended.slot_fault
        assert told.cleared

    def test_an_attempt_that_waits_for_devices_can_be_cancelled(self, device, attempt):
        device.fill()
        told = attempt(device_s=3600.0)
        told.at = {Phase.PREFLIGHT: lambda: setattr(told, "stop", "enough")}
        told.run()
        assert told.outcome == Cancelled("enough")
        assert told.ended.slot_fault is None
        assert told.events[-1] is told.ended


class TestAfter:
    def test_a_measurement_stands_though_memory_is_left(self, device, attempt):
        told = attempt({Phase.LOAD: device.fill, "end": device.clear}).run()
        assert told.outcome == Completed()
        assert "after the end, device 0 (simulated) holds 20.0 GiB" in told.ended.slot_fault
        assert told.ended.facts["slot_fault"] == told.ended.slot_fault
        assert told.phases[-1] is Phase.POSTFLIGHT
        assert told.cleared

    def test_a_failure_stays_what_it_was(self, device, attempt):
        told = attempt(
            {Phase.SERVER_START: device.fill, "end": device.clear},
            flags={"fault-oom-at-start": True},
        ).run()
        assert told.outcome.kind is FailureKind.OUT_OF_MEMORY_AT_LOAD
        assert told.ended.slot_fault is not None
        assert told.cleared

    def test_so_does_a_bug_of_ours(self, device, attempt, monkeypatch):
        def broken(*_arguments, **_options):
            device.fill()
            raise ZeroDivisionError

        monkeypatch.setattr(measurement, "warm_up", broken)
        told = attempt({"end": device.clear}).run()
        assert told.outcome.kind is FailureKind.INTERNAL_ERROR
        assert told.ended.slot_fault is not None
        assert told.cleared

    def test_memory_that_a_server_leaves_is_found(self, device, attempt, tmp_path):
        """A server whose memory stays with the driver when it has ended, whatever it was."""
        code = (
            "import sys; from autotuner.engines.sim_devices import hold; "
            f"hold({20 * GIB}, stuck=True); sys.exit(1)"
        )
        told = attempt(
            {"end": device.clear}, engine="custom", command=[sys.executable, "-c", code, "{port}"]
        ).run()
        assert told.outcome.kind is FailureKind.SERVER_CRASHED
        assert "after the end" in told.ended.slot_fault
        assert told.cleared

    def test_memory_that_goes_in_time_is_no_fault(self, device, attempt):
        told = attempt({Phase.LOAD: device.fill, Phase.POSTFLIGHT: device.clear}).run()
        assert told.ended.slot_fault is None
        assert told.events[-1] is told.ended

    def test_whoever_is_cancelled_does_not_wait_for_memory(self, device, attempt):
        told = attempt(device_s=3600.0)
        told.at = {Phase.LOAD: lambda: (device.fill(), setattr(told, "stop", "enough"))}
        told.run()
        assert told.outcome == Cancelled("enough")
        assert told.ended.slot_fault is None
        assert Phase.POSTFLIGHT not in told.phases


class TestHold:
    def test_the_slot_is_held_for_as_long_as_the_fault_lasts(self, device, attempt):
        told = attempt({Phase.LOAD: device.fill})
        looks = []

        def clear_at_the_third_look(look=devices.Devices._state):
            def counted(*arguments):
                looks.append(1)
                if len(looks) == 3:
                    device.clear()
                return look(*arguments)

            devices_of_test.setattr(devices.Devices, "_state", counted)

        with pytest.MonkeyPatch.context() as devices_of_test:
            told.at["end"] = clear_at_the_third_look
            told.run()
        assert len(looks) >= 3
        assert told.cleared

    @pytest.mark.parametrize("phase", [None, Phase.LOAD])
    def test_a_stop_ends_it_without_a_word(self, device, attempt, monkeypatch, phase):
        monkeypatch.setattr(devices, "_RECHECK_S", 3600.0)
        if phase is None:
            device.fill()
        told = attempt({phase: device.fill})
        told.at["end"] = lambda: setattr(told, "stop", "enough")
        told.run()
        assert told.ended.slot_fault is not None
        assert told.events[-1] is told.ended


@pytest.fixture
def dead_attempt():
    """What an attempt leaves whose owner and supervisors were killed at one blow."""
    with held_lease("dead-a1", "s") as lease:
        content = json.loads((lease.folder / LEASE_FILE).read_text())
    lease.folder.mkdir()
    (lease.folder / LEASE_FILE).write_text(json.dumps(content))
    return lease


@pytest.fixture
def leftover(dead_attempt, device, tmp_path):
    """A process of the dead attempt, which holds device 0."""
    code = (
        f"import sys; from autotuner.engines.sim_devices import hold; hold({20 * GIB}); "
        "print('held', flush=True); sys.stdin.read()"
    )
    environment = {
        LEASE_VARIABLE: dead_attempt.token,
        SIM_GPUS_VARIABLE: str(tmp_path / "devices"),
        "CUDA_VISIBLE_DEVICES": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


class TestSweep:
    def test_what_a_dead_attempt_left_is_ended_before_the_devices_are_looked_at(
        self, attempt, dead_attempt, leftover
    ):
        told = attempt().run()
        assert told.outcome == Completed()
        assert told.ended.facts["swept"] == "dead-a1: 1 ended"
        assert leftover.wait() == -9
        assert not dead_attempt.folder.exists()

    def test_a_dead_attempt_without_processes_is_cleared_away_unnamed(
        self, device, attempt, dead_attempt
    ):
        told = attempt().run()
        assert told.ended.facts["swept"] is None
        assert not dead_attempt.folder.exists()
