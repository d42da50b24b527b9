"""The clock of a node against the driver's."""

from __future__ import annotations

import time

from autotuner.node.checkup.finding import Finding, good, warning

__all__ = ["judge_clock", "now_s"]

_MOST_S = 1.0


def now_s() -> float:
    """The wall clock of the node that runs it."""
    return time.time()


def judge_clock(*, sent_s: float, on_node_s: float, received_s: float) -> Finding:
    """Judge what a node read off its clock between the driver's two readings.

    The difference lies between the two extremes; the smallest it can be is what is reported,
    so that a slow answer never looks like a wrong clock.
    """
    least, most = on_node_s - received_s, on_node_s - sent_s
    off_s = 0.0 if least <= 0 <= most else min(least, most, key=abs)
    check, wanted = "clock", f"within {_MOST_S:g} s of the driver's"
    if abs(off_s) <= _MOST_S:
        return good(check, "in step with the driver's", wanted)
    read = f"{abs(off_s):.1f} s {'ahead' if off_s > 0 else 'behind'}"
    return warning(check, read, wanted, "Let chrony or ntpd keep this node's clock.")
