"""All checks of a node together."""

from __future__ import annotations

import pickle
import socket

from autotuner.node.checkup.every_check import CHECKS, check_node
from autotuner.node.checkup.finding import CheckupOrder, Verdict, failure, good


def test_a_check_that_cannot_be_made_does_not_hide_the_others():
    def breaks(order):
        raise OSError("no such file")

    checkup = check_node(CheckupOrder(), [("a", breaks), ("b", lambda order: [good("b", "1")])])
    assert [(f.check, f.verdict) for f in checkup.findings] == [
        ("a", Verdict.WARNING),
        ("b", Verdict.OK),
    ]
    assert "no such file" in checkup.findings[0].read


def test_this_machine_can_be_checked():
    checkup = check_node(CheckupOrder())
    assert checkup.node == socket.gethostname()
    assert not [f for f in checkup.findings if f.read.startswith(("OSError", "Attribute", "Type"))]
    assert len({name for name, _ in CHECKS}) == len(CHECKS)


def test_problems_come_with_a_fix_in_one_sentence_and_good_values_without():
    for finding in check_node(CheckupOrder(ray_gpus=1)).findings:
        if finding.verdict is Verdict.OK:
            assert finding.fix == ""
        else:
            assert finding.fix.endswith(".")


def test_a_checkup_fails_with_any_failure_and_travels_to_the_driver():
    checkup = check_node(CheckupOrder(), [("a", lambda order: [failure("a", "0", "1", "Fix.")])])
    assert checkup.failed
    assert pickle.loads(pickle.dumps(checkup)) == checkup  # noqa: S301 - our own
