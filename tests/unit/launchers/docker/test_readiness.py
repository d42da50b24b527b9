from contextlib import contextmanager

import pytest

from autotuner.launchers.base import LaunchFault
from autotuner.launchers.docker import readiness
from autotuner.launchers.docker.daemon import DockerFaultError
from autotuner.launchers.docker.readiness import look
from autotuner.spec.experiment import FailureKind
from autotuner.spec.launching import Mount
from autotuner.spec.server import Footprint

INFO = {"ServerVersion": "27.1", "MemTotal": 2**35, "MemoryLimit": True, "DockerRootDir": "/none"}


@pytest.fixture
def looked(make_request, monkeypatch):
    """Look at a node whose daemon says what a test has it say."""
    monkeypatch.setattr(readiness, "_has_cdi", lambda info: False)
    monkeypatch.setattr(readiness.shutil, "which", lambda name: None)

    def looked(*, info=None, there=True, gpus=0, fetch=False, lost=None, **docker):
        @contextmanager
        def connected(daemon):
            if lost is not None:
                raise DockerFaultError(LaunchFault(FailureKind.LAUNCH_FAILED, lost))
            yield type("Client", (), {"info": lambda self: {**INFO, **(info or {})}})()

        image = {"Id": "sha256:0123456789abcdef"} if there else None
        monkeypatch.setattr(readiness, "connected", connected)
        monkeypatch.setattr(readiness, "find_image", lambda client, name: image)
        server = make_request(**docker).server
        rows = look(server, Footprint(gpus), {}, fetch=fetch)
        return {row.check.split()[0] if row.check[0] == "m" else row.check: row for row in rows}

    return looked


def test_all_is_well_where_all_is_there(looked):
    rows = looked()
    assert rows["Docker daemon"].read == "27.1"
    assert rows["image an/image:1"].read.startswith("sha256:0123")
    assert all(row.fix is None for row in rows.values())


def test_a_daemon_that_does_not_answer_is_one_row(looked):
    row = looked(lost="the daemon does not answer: start it")["Docker daemon"]
    assert row.blocks
    assert row.fix == "the daemon does not answer: start it"


def test_a_missing_image_is_pulled_later_and_blocks_nothing(looked):
    row = looked(there=False)["image an/image:1"]
    assert (row.read, row.blocks) == ("will be pulled", False)


def test_unless_it_may_not_be_pulled(looked):
    row = looked(there=False, pull="never")["image an/image:1"]
    assert row.blocks
    assert "docker.pull = never" in row.fix


def test_an_image_is_fetched_where_that_is_asked_for(looked, monkeypatch):
    pulled = []

    def obtain(client, name, pull, tell):
        pulled.append(name)
        return {"Id": "sha256:new"}

    monkeypatch.setattr(readiness, "obtain_image", obtain)
    row = looked(there=False, fetch=True)["image an/image:1"]
    assert (pulled, row.read, row.fix) == (["an/image:1"], "sha256:new", None)
    looked(there=True, fetch=True)
    assert len(pulled) == 1


def test_gpus_want_a_runtime_and_its_absence_is_a_warning(looked):
    assert "GPUs in containers" not in looked()
    row = looked(gpus=1)["GPUs in containers"]
    assert "NVIDIA Container Toolkit" in row.fix
    assert not row.blocks  # the daemon may find what we do not
    assert looked(gpus=1, info={"Runtimes": {"nvidia": {}}})["GPUs in containers"].fix is None


def test_a_runtime_that_is_asked_for_has_to_be_there(looked):
    row = looked(runtime="nvidia", info={"Runtimes": {"runc": {}}})["Docker runtime"]
    assert row.blocks
    assert "docker.runtime = nvidia" in row.fix


def test_a_daemon_without_root_has_a_network_of_its_own(looked):
    info = {"SecurityOptions": ["name=rootless"]}
    assert "bridge" in looked(info=info)["Docker daemon"].fix
    assert looked(info=info, network="bridge")["Docker daemon"].fix is None


@pytest.mark.parametrize(
    ("limit", "info", "told"),
    [(16, {}, None), (64, {}, "more than"), (16, {"MemoryLimit": False}, "kernel cannot")],
)
def test_a_memory_limit_must_be_possible(looked, limit, info, told):
    fix = looked(memory_gib=limit, info=info)["Docker memory limit"].fix
    assert fix is None if told is None else told in fix


def test_what_is_mounted_has_to_exist(looked):
    row = looked(mounts=(Mount("/no/such", "/x"),), model="org/model")["mount"]
    assert row.blocks
    assert row.fix.startswith("docker.mounts: /no/such")
    assert looked(model="/no/model")["mount"].fix.startswith("model: /no/model")


def test_a_cache_that_may_not_be_written_is_told(looked, monkeypatch):
    monkeypatch.setattr(readiness.os, "access", lambda *_: False)
    assert "docker.hub_cache = /x/y" in looked(hub_cache="/x/y")["hub cache"].fix
