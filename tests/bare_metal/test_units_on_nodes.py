"""The units' own commands, on two nodes with networks of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bare_metal.units import FOLDER, environment_file, read_unit, start_words
from faults.lab import ISOLATED, NODE, Lab, _Node, why_no_lab
from faults.processes import eventually

REASON = why_no_lab()
pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow_faults,
    pytest.mark.skipif(REASON is not None, reason=f"no lab of several nodes here: {REASON}"),
]

PATIENCE_S = 120.0
MAIN = '"$@"; echo "$?" >"$HOME/$(hostname).ended"'
"""Writes down that the main process has ended, upon which systemd starts it again."""


class UnitLab(Lab):
    """Nodes that run what their units say, with the environment file of the recipe."""

    def _boot(self, node: _Node) -> None:
        unit = read_unit(FOLDER / f"ray-{'head' if node.number == 0 else 'worker'}.service")
        environment = environment_file((FOLDER / "ray.env").read_text())
        environment |= {"NODE_IP": node.address, "HEAD_IP": self._nodes[0].address}
        environment["RAY_AUTH_TOKEN_PATH"] = str(self.folder / "token")
        program, *words = start_words(unit, environment)
        assert program == "/opt/autotuner/bin/ray"
        words = [str(Path(sys.executable).with_name("ray")), *words]
        words += ["--object-store-memory=100000000"]
        if node.number > 0:
            words += ["--num-cpus=2", "--num-gpus=1"]  # none of the machine's own are found
        variables = [f"{name}={value}" for name, value in environment.items()]
        words = ["env", *variables, *_oom_score(unit["OOMScoreAdjust"]), *words]
        inside = ["bash", "-c", NODE, "bash", node.host, "bash", "-c", MAIN, "bash", *words]
        outside = ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", node.namespace]
        node.holder = self._popen(
            [*outside, *ISOLATED, "--kill-child", *inside], self.folder / f"{node.host}.log"
        )
        if node.number == 0:
            assert eventually(lambda: self._started(node), PATIENCE_S), self._logs()

    def ended(self, number: int) -> bool:
        return (self.folder / f"node{number}.ended").exists()


def _oom_score(score: str) -> list[str]:
    """What gives a program this score; systemd may, a container often not."""
    words = [shutil.which("choom") or "choom", "-n", score, "--"]
    allowed = subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    return words if allowed else []


@pytest.fixture(scope="module")
def lab() -> Iterator[UnitLab]:
    with UnitLab(workers=1) as lab:
        yield lab


def test_both_nodes_join_with_the_token_and_measure_undistorted(lab: UnitLab) -> None:
    log = lab.folder / "doctor.log"
    words = [sys.executable, "-m", "autotuner.cli.main", "doctor", "--address", lab.address]
    lab.run(0, words, log).wait(PATIENCE_S)
    told = " ".join(log.read_text().split())
    assert f"the Ray cluster at {lab.address}: 2 nodes, and this driver" in told
    for check in ("niceness", "oom_score_adj"):
        read = told.partition(check)[2].partition(" ok ")[0]
        assert "server 0 server 0" in read  # read and wanted
        assert "worker" not in read  # named where it has another than its servers
    assert "process groups on, subreaper off" in told


def test_the_main_process_ends_with_its_raylet_so_that_systemd_starts_it_again(
    lab: UnitLab,
) -> None:
    assert not lab.ended(1)
    lab.kill_raylet(1)
    assert eventually(lambda: lab.ended(1), PATIENCE_S)
    assert (lab.folder / "node1.ended").read_text().strip() != "0"
    assert not lab.ended(0)
