import json
import os
import stat
import tempfile

import pytest

from autotuner.errors import LaunchError
from autotuner.supervision.lease import LEASE_FILE, boot_id, held_lease, lease_lives, lease_root
from autotuner.supervision.sweep import dead_leases


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"autotuner-{os.getuid()}"


def test_a_lease_says_whose_it_is_and_when_the_kernel_started():
    with held_lease("abc-a1", "study1") as lease:
        content = json.loads((lease.folder / LEASE_FILE).read_text())
    assert (content["attempt_id"], content["study_id"]) == ("abc-a1", "study1")
    assert (content["token"], content["boot_id"]) == (lease.token, boot_id())


def test_its_folder_is_private_and_gone_at_the_end(root):
    with held_lease("abc-a1", "s") as lease:
        assert lease.folder.parent == root
        assert stat.S_IMODE(lease.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert not lease.folder.exists()


def test_its_folder_is_gone_after_an_error_too():
    with pytest.raises(ZeroDivisionError), held_lease("abc-a1", "s") as lease:
        raise ZeroDivisionError
    assert not lease.folder.exists()


def test_the_same_attempt_twice_has_two_leases():
    with held_lease("abc-a1", "s") as one, held_lease("abc-a1", "s") as other:
        assert one.folder != other.folder
        assert one.token != other.token


def test_a_held_lease_is_not_dead():
    with held_lease("abc-a1", "s"):
        assert dead_leases() == ()


def test_a_folder_of_that_name_that_is_somebody_elses_is_refused(root, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    root.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LaunchError, match="belongs to another user: remove it"):
        lease_root()


def test_a_lease_lives_while_it_is_held_and_under_its_own_token():
    with held_lease("e-a1", "study") as lease:
        assert lease_lives(lease.folder, lease.token)
        assert not lease_lives(lease.folder, "another")
        content = (lease.folder / "lease.json").read_text()
    assert not lease_lives(lease.folder, lease.token)
    lease.folder.mkdir()
    (lease.folder / "lease.json").write_text(content)
    assert not lease_lives(lease.folder, lease.token)
