"""Nodes against one another."""

from autotuner.node.checkup.compare import with_differences
from autotuner.node.checkup.finding import Checkup, Verdict, good, warning


def checkups(*readings, alike=True):
    return [
        Checkup(f"node-{index}", (good("GPU driver", reading, alike=alike),))
        for index, reading in enumerate(readings)
    ]


def verdicts(compared):
    return [checkup.findings[0].verdict for checkup in compared]


def test_a_node_that_differs_from_the_others_is_a_warning_that_says_how():
    compared = with_differences(checkups("570", "550", "570"))
    assert verdicts(compared) == [Verdict.OK, Verdict.WARNING, Verdict.OK]
    assert compared[1].findings[0].read == "550"
    assert compared[1].findings[0].wanted == "as on the other nodes: 570"


def test_equal_nodes_stay_as_they_are():
    same = checkups("570", "570")
    assert with_differences(same) == tuple(same)


def test_values_that_may_differ_are_not_compared():
    assert verdicts(with_differences(checkups("1 GiB", "2 GiB", alike=False))) == [Verdict.OK] * 2


def test_problems_of_their_own_are_not_replaced():
    broken = Checkup("node", (warning("GPU driver", "none", "570", "Install it."),))
    assert with_differences([broken, *checkups("570")])[0] == broken
