"""The clock of a node between two readings of the driver's."""

import time

import pytest

from autotuner.node.checkup.clock import judge_clock, now_s
from autotuner.node.checkup.finding import Verdict


@pytest.mark.parametrize(
    ("sent_s", "on_node_s", "received_s", "read"),
    [
        (100.0, 100.1, 100.2, "in step with the driver's"),
        (100.0, 105.0, 110.0, "in step with the driver's"),  # slow answers prove nothing
        (100.0, 101.1, 100.2, "in step with the driver's"),
        (100.0, 103.2, 100.2, "3.0 s ahead"),
        (100.0, 97.0, 100.2, "3.0 s behind"),
        (100.0, 103.2, 102.0, "1.2 s ahead"),
    ],
)
def test_the_least_difference_that_explains_the_reading_counts(sent_s, on_node_s, received_s, read):
    finding = judge_clock(sent_s=sent_s, on_node_s=on_node_s, received_s=received_s)
    assert finding.read == read
    assert (finding.verdict is Verdict.OK) == read.startswith("in step")


def test_a_node_reads_its_own_clock():
    before = time.time()
    assert before <= now_s() <= time.time()
