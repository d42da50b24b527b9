"""GPUs: counts, models, and who is on them."""

from __future__ import annotations

import pytest

from autotuner.node.checkup import gpus
from autotuner.node.checkup.finding import CheckupOrder, StudyNeeds, Verdict
from autotuner.node.gpus import GpuError, GpuProcess, GpuState
from autotuner.spec.server import Model, ServerConfig
from autotuner.spec.study import BenchConfig

GIB = 2**30
SERVER = ServerConfig("sim", Model("/m", "/m"), {})


def gpu(index=0, *, used=0, processes=(), name="H100"):
    return GpuState(str(index), f"GPU-{index}", name, 80 * GIB, used, tuple(processes))


def study(most_gpus):
    return StudyNeeds(SERVER, BenchConfig(), least_gpus=1, most_gpus=most_gpus)


class Probe:
    driver_version = "570.1"

    def __init__(self, *devices, error=None):
        self._devices = devices
        self._error = error

    def devices(self):
        if self._error is not None:
            raise self._error
        return self._devices


@pytest.mark.parametrize(
    ("devices", "ray_gpus", "verdict"),
    [
        (2, 2, Verdict.OK),
        (0, 0, Verdict.OK),
        (2, 1, Verdict.WARNING),
        (1, 2, Verdict.FAILURE),
        (0, 1, Verdict.FAILURE),
    ],
)
def test_ray_must_count_the_gpus_that_there_are(devices, ray_gpus, verdict):
    found = [gpu(index) for index in range(devices)]
    assert gpus.judge_count(found, ray_gpus, None).verdict is verdict


def test_without_ray_the_study_must_fit_on_this_machine():
    assert gpus.judge_count([gpu()], None, None).verdict is Verdict.OK
    assert gpus.judge_count([gpu()], None, study(1)).verdict is Verdict.OK
    assert gpus.judge_count([gpu()], None, study(2)).verdict is Verdict.FAILURE


def test_on_a_cluster_another_node_may_hold_the_study():
    assert gpus.judge_count([gpu()], 1, study(2)).verdict is Verdict.OK


def test_models_are_counted():
    mixed = [gpu(0), gpu(1), gpu(2, name="A100")]
    assert gpus.judge_count(mixed, None, None).read == "2 x H100, 1 x A100"


def test_an_idle_device_is_ok_and_may_hold_a_little():
    assert gpus.judge_use(gpu(used=GIB // 2)).verdict is Verdict.OK


def test_whoever_is_on_a_device_is_named():
    busy = gpu(used=40 * GIB, processes=[GpuProcess(4242, "python", None)])
    finding = gpus.judge_use(busy)
    assert finding.verdict is Verdict.WARNING
    assert finding.read == "40.0 of 80 GiB used by 4242 (python)"


def test_memory_that_nobody_seems_to_hold_is_somebodys():
    finding = gpus.judge_use(gpu(used=40 * GIB))
    assert finding.verdict is Verdict.WARNING
    assert "nobody that can be seen" in finding.read


def test_a_driver_that_does_not_answer_is_not_the_same_as_none():
    assert gpus.judge_missing_driver(kernel_driver=False).verdict is Verdict.OK
    assert gpus.judge_missing_driver(kernel_driver=True).verdict is Verdict.FAILURE


def findings(monkeypatch, probe, ray_gpus):
    monkeypatch.setattr(gpus, "gpu_probe", lambda: probe)
    return list(gpus.gpus(CheckupOrder(ray_gpus=ray_gpus)))


def test_every_device_is_looked_at(monkeypatch):
    found = findings(monkeypatch, Probe(gpu(0), gpu(1)), 2)
    assert [f.check for f in found] == ["GPU driver", "GPUs", "GPU 0", "GPU 1"]
    assert found[0].read == "570.1"
    assert all(f.verdict is Verdict.OK for f in found)


def test_a_device_that_cannot_be_read_is_a_failure(monkeypatch):
    found = findings(monkeypatch, Probe(error=GpuError("device 1 is lost")), 2)
    assert found[-1].verdict is Verdict.FAILURE
    assert found[-1].read == "device 1 is lost"


def test_rays_gpus_without_a_driver_are_a_failure(monkeypatch):
    monkeypatch.setattr(gpus, "_KERNEL_DRIVER", gpus.Path("/no/such/driver"))
    found = findings(monkeypatch, None, 1)
    assert [f.verdict for f in found] == [Verdict.OK, Verdict.FAILURE]
