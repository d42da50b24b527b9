import pytest

from autotuner.launchers.docker.labels import is_left_behind, labels_of
from autotuner.supervision.lease import held_lease, lease_root


@pytest.fixture
def leases(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return lease_root()


def test_the_container_of_a_living_attempt_is_spared(leases):
    with held_lease("e-a1", "study") as lease:
        assert not is_left_behind(labels_of(lease), leases)


def test_that_of_a_dead_one_is_left_behind(leases):
    with held_lease("e-a1", "study") as lease:
        labels = labels_of(lease)
    assert is_left_behind(labels, leases)


def test_also_where_its_folder_is_there_and_nobody_holds_it(leases):
    with held_lease("e-a1", "study") as lease:
        labels = labels_of(lease)
        content = (lease.folder / "lease.json").read_text()
    lease.folder.mkdir()
    (lease.folder / "lease.json").write_text(content)
    assert is_left_behind(labels, leases)


def test_a_start_of_the_node_since_is_the_end_of_every_attempt(leases):
    with held_lease("e-a1", "study") as lease:
        assert is_left_behind({**labels_of(lease), "autotuner.boot": "before"}, leases)


@pytest.mark.parametrize(
    "changed",
    [
        {"autotuner.host": "another"},
        {"autotuner.leases": "1:1"},
        {"autotuner.host": "another", "autotuner.boot": "before"},
    ],
    ids=["another node", "leases that we cannot see", "another node's start"],
)
def test_what_cannot_be_judged_from_here_is_spared(leases, changed):
    with held_lease("e-a1", "study") as lease:
        labels = labels_of(lease)
    assert not is_left_behind({**labels, **changed}, leases)


def test_a_container_without_our_label_is_none_of_ours(leases):
    assert not is_left_behind({"com.example": "x"}, leases)
