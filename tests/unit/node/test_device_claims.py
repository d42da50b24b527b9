"""Who has a device; the names are of the machine, so that each test makes up its own."""

import subprocess
import sys
import uuid

import pytest

from autotuner.node.device_claims import DeviceClaims

HOLDER = """
import sys, time
from autotuner.node.device_claims import DeviceClaims
claims = DeviceClaims()
print(claims.take(sys.argv[1]), flush=True)
time.sleep(600)
"""


@pytest.fixture
def device():
    return f"GPU-{uuid.uuid4()}"


def test_a_device_is_one_attempts_until_it_lets_go(device):
    first, second = DeviceClaims(), DeviceClaims()
    assert first.take(device)
    assert first.take(device)  # asked again, it is still its own
    assert not second.take(device)
    first.release()
    assert second.take(device)
    second.release()


def test_devices_are_claimed_one_by_one(device):
    first, second = DeviceClaims(), DeviceClaims()
    assert first.take(device)
    assert second.take(f"{device}-b")
    first.release()
    second.release()


def test_the_claims_of_a_killed_process_are_gone_with_it(device):
    words = [sys.executable, "-c", HOLDER, device]
    claims = DeviceClaims()
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not claims.take(device)
        holder.kill()
    assert claims.take(device)
    claims.release()
