"""Orphans, made for real and seen off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from autotuner.node.checkup.finding import CheckupOrder, Verdict
from autotuner.node.checkup.orphans import judge_orphan, make_orphan, orphans, state_after

# Whoever adopts orphans and never looks at them is an init that does not reap.
_BAD_INIT = """
import ctypes, os
from autotuner.node.checkup import orphans
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
orphan, parent = orphans.make_orphan()
assert parent == os.getpid()
os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT)
assert orphans.state_after(orphan, 0.0) == "Z"
os.waitpid(orphan, 0)
assert orphans.state_after(orphan, 0.0) is None
"""


def test_an_orphan_has_ended_and_has_a_new_parent() -> None:
    orphan, parent = make_orphan()
    assert orphan != parent
    assert Path(f"/proc/{parent}").exists()
    state_after(orphan, 0.0)  # gone or a zombie, as this machine's init has it


def test_a_parent_that_never_looks_leaves_a_zombie() -> None:
    subprocess.run([sys.executable, "-c", _BAD_INIT], check=True)


def test_the_parent_is_named() -> None:
    (finding,) = orphans(CheckupOrder())
    assert finding.check == "orphans"
    assert "by process " in finding.read


def test_only_zombies_are_a_warning() -> None:
    assert judge_orphan(None, "process 1 (tini)").verdict is Verdict.OK
    left = judge_orphan("Z", "process 1 (sleep)")
    assert left.verdict is Verdict.WARNING
    assert "sleep" in left.read
    assert "docker run --init" in left.fix
    assert "shareProcessNamespace: true" in left.fix
