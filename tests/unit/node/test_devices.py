"""Devices before and after an attempt; a script says what the driver answers, look by look."""

import pytest

from autotuner.node import devices as devices_module
from autotuner.node.devices import Devices
from autotuner.node.gpus import GpuError, GpuProbe, GpuProcess, GpuState

GIB, MIB = 2**30, 2**20
PATIENCE_S = 60.0
"""No test takes it: what is waited for comes after a few looks."""
LOST = GpuError("device 0 cannot be read: GPU is lost")


def never():
    return None


def process(memory=20 * GIB):
    return GpuProcess(1234, "python", memory)


class Scripted(GpuProbe):
    """What each device holds, look by look; the last entry stays."""

    driver_version = "scripted"

    def __init__(self, **held):
        self.held = {name.removeprefix("gpu"): list(looks) for name, looks in held.items()}
        self.looks = 0

    def devices(self):
        return tuple(self.device(device_id) for device_id in self.held)

    def device(self, device_id):
        self.looks += 1
        looks = self.held[device_id]
        look = looks.pop(0) if len(looks) > 1 else looks[0]
        if isinstance(look, Exception):
            raise look
        used, *processes = look if isinstance(look, tuple) else (look,)
        return GpuState(device_id, f"GPU-{device_id}", "H100", 80 * GIB, used, tuple(processes))

    def now(self, *looks, device="0"):
        self.held[device] = list(looks)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Looks follow each other without a pause."""
    monkeypatch.setattr(devices_module, "_POLL_S", 0.0)
    monkeypatch.setattr(devices_module, "_RECHECK_S", 0.0)


def of(probe):
    return Devices(probe, tuple(probe.held))


def begun(*looks):
    """Devices that were free with so much in use, and the probe."""
    probe = Scripted(gpu0=looks or (0,))
    checked = of(probe)
    assert checked.await_free(PATIENCE_S, never) is None
    return checked, probe


class TestUnreadable:
    @pytest.mark.parametrize(
        "checked", [Devices(None, ("0",)), Devices(Scripted(gpu0=[80 * GIB]), ())]
    )
    def test_what_cannot_be_read_is_not_waited_for(self, checked):
        assert not checked.readable
        assert checked.await_free(PATIENCE_S, never) is None
        assert checked.await_back(PATIENCE_S, never) is None
        assert checked.hold_until_free(never)

    def test_what_can_be_read_is(self):
        assert of(Scripted(gpu0=[0])).readable


class TestBefore:
    @pytest.mark.parametrize(
        ("look", "free"),
        [
            (0, True),
            (GIB, True),
            (GIB + 1, False),
            ((0, process(100 * MIB)), True),
            ((0, process(100 * MIB + 1)), False),
            ((0, process(None)), True),
            ((2 * GIB, process(None)), False),
        ],
    )
    def test_an_idle_device_may_hold_a_little_and_a_small_process(self, look, free):
        fault = of(Scripted(gpu0=[look])).await_free(0.0, never)
        assert (fault is None) is free

    def test_it_waits_until_the_memory_is_free(self):
        probe = Scripted(gpu0=[5 * GIB, 3 * GIB, 0])
        assert of(probe).await_free(PATIENCE_S, never) is None

    def test_every_device_must_be_free(self):
        probe = Scripted(gpu0=[0], gpu1=[5 * GIB, 5 * GIB, 0])
        assert of(probe).await_free(PATIENCE_S, never) is None
        probe.now(5 * GIB, device="1")
        assert "device 1 (H100)" in of(probe).await_free(0.0, never)

    def test_the_owner_of_foreign_memory_is_named(self):
        fault = of(Scripted(gpu0=[(20 * GIB, process())])).await_free(0.0, never)
        assert fault == "device 0 (H100) holds 20.0 GiB of process 1234 (python)"

    def test_an_owner_that_cannot_be_seen_is_said_to_be_none(self):
        fault = of(Scripted(gpu0=[20 * GIB])).await_free(0.0, never)
        assert fault == "device 0 (H100) holds 20.0 GiB of no process that can be seen from here"

    def test_a_lost_device_is_a_fault(self):
        assert of(Scripted(gpu0=[LOST])).await_free(0.0, never) == str(LOST)

    def test_a_device_that_answers_again_is_none(self):
        assert of(Scripted(gpu0=[LOST, LOST, 0])).await_free(PATIENCE_S, never) is None

    def test_a_time_out_of_zero_looks_once(self):
        probe = Scripted(gpu0=[5 * GIB, 0])
        assert of(probe).await_free(0.0, never) is not None
        assert probe.looks == 1

    def test_a_wait_ends_when_told_to(self):
        probe = Scripted(gpu0=[5 * GIB])
        assert of(probe).await_free(PATIENCE_S, lambda: probe.looks >= 3) is not None
        assert probe.looks == 3


class TestAfter:
    @pytest.mark.parametrize(("more", "back"), [(0, True), (256, True), (257, False)])
    def test_the_memory_must_be_back_but_for_a_little(self, more, back):
        checked, probe = begun(500 * MIB)
        probe.now(500 * MIB + more * MIB)
        assert (checked.await_back(0.0, never) is None) is back

    def test_it_waits_for_the_driver_to_free_it(self):
        checked, probe = begun()
        probe.now(70 * GIB, 30 * GIB, 100 * MIB)
        assert checked.await_back(PATIENCE_S, never) is None

    def test_what_was_held_before_the_start_is_no_fault(self):
        checked, _ = begun(GIB)
        assert checked.await_back(0.0, never) is None

    def test_what_is_still_held_is_described(self):
        checked, probe = begun()
        probe.now((20 * GIB, process()))
        assert checked.await_back(0.0, never) == (
            "device 0 (H100) holds 20.0 GiB of process 1234 (python)"
        )

    def test_a_device_that_was_lost_meanwhile_is_a_fault(self):
        checked, probe = begun()
        probe.now(LOST)
        assert checked.await_back(0.0, never) == str(LOST)

    def test_each_device_has_a_mark_of_its_own(self):
        probe = Scripted(gpu0=[0], gpu1=[GIB])
        checked = of(probe)
        assert checked.await_free(0.0, never) is None
        assert checked.await_back(0.0, never) is None
        probe.now(GIB, device="0")
        assert "device 0" in checked.await_back(0.0, never)

    def test_without_a_mark_nothing_can_be_missing(self):
        checked = of(Scripted(gpu0=[20 * GIB]))
        assert checked.await_free(0.0, never) is not None
        assert checked.await_back(0.0, never) is None

    def test_a_wait_ends_when_told_to(self):
        checked, probe = begun()
        probe.now(20 * GIB)
        looks = probe.looks
        assert checked.await_back(PATIENCE_S, lambda: probe.looks >= looks + 3) is not None
        assert probe.looks == looks + 3


class TestHold:
    def test_a_slot_is_held_until_the_memory_is_back(self):
        checked, probe = begun()
        # Idle by itself, and yet more than before the attempt: something of it is still there.
        probe.now(*[20 * GIB] * 6, *[900 * MIB] * 6, 0)
        assert checked.hold_until_free(never)
        assert probe.held["0"] == [0]

    def test_a_slot_is_held_until_nobody_else_is_on_it(self):
        checked, probe = begun()
        probe.now(*[(0, process())] * 4, 0)
        assert checked.hold_until_free(never)
        assert probe.held["0"] == [0]

    def test_a_slot_that_was_never_free_is_held_until_it_is(self):
        probe = Scripted(gpu0=[20 * GIB] * 5 + [0])
        checked = of(probe)
        assert checked.await_free(0.0, never) is not None
        assert checked.hold_until_free(never)
        assert probe.held["0"] == [0]

    def test_a_lost_device_is_held(self):
        checked, probe = begun()
        probe.now(LOST, LOST, LOST, 0)
        assert checked.hold_until_free(never)
        assert probe.held["0"] == [0]

    def test_whoever_holds_it_can_be_told_to_stop(self, monkeypatch):
        monkeypatch.setattr(devices_module, "_RECHECK_S", PATIENCE_S)
        checked, probe = begun()
        probe.now(20 * GIB)
        asked = []
        assert not checked.hold_until_free(lambda: asked.append(1) or len(asked) >= 3)
        assert len(asked) == 3

    def test_the_driver_is_not_asked_all_the_time(self, monkeypatch):
        monkeypatch.setattr(devices_module, "_RECHECK_S", PATIENCE_S)
        checked, probe = begun()
        probe.now(20 * GIB)
        looks, asked = probe.looks, []
        checked.hold_until_free(lambda: asked.append(1) or len(asked) >= 100)
        assert probe.looks == looks + 1
