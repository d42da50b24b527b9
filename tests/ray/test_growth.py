"""Ray's own autoscaler, with pretended nodes that are processes of this machine."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from faults.lab import why_no_lab

pytestmark = pytest.mark.ray

SCRIPT = Path(__file__).with_name("growing_study.py")
ALONE = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
INSIDE = 'ip link set lo up && mount -t tmpfs tmpfs /dev/shm && exec "$@"'


@pytest.fixture(scope="module")
def told():
    if reason := why_no_lab():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:  # a socket's path
        homes = {"HOME": folder, "TMPDIR": folder}
        words = [*ALONE, "bash", "-c", INSIDE, "bash", sys.executable, str(SCRIPT), folder]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | homes
        ran = subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
        return json.loads(ran.stdout.splitlines()[-1])


def test_a_cluster_without_a_worker_gets_those_that_a_study_asks_for(told):
    assert (told["can_grow"], told["nodes_before"]) == (True, 0)
    assert told["outcomes"] == ["completed", "completed"]


def test_what_is_asked_for_is_withdrawn_at_the_end(told):
    """Then the autoscaler gives the nodes back, after its own idle time."""
    assert [{"CPU": 2.0}, 2] in told["asked"]
    assert told["asked_after"] == []
