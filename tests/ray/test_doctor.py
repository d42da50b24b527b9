"""`autotuner doctor` on a Ray: every node answers, or is named."""

from __future__ import annotations

import os
import time
from functools import partial

import pytest

from autotuner.cli.doctor import check_nodes
from autotuner.execution.base import Executor, Node
from autotuner.execution.ray_nodes import ask_nodes
from autotuner.node.checkup.finding import CheckupOrder, Verdict

pytestmark = pytest.mark.ray

PATIENCE_S = 120.0
NOWHERE = Node(id="0" * 56, host="nowhere", gpus=0, cpus=1)


def raises() -> None:
    raise ValueError("no such thing here")


def dies() -> None:
    os._exit(3)


@pytest.fixture
def node(ray_executor: Executor) -> Node:
    (node,) = ray_executor.nodes()
    return node


def test_a_node_answers_with_the_value_of_the_call(node: Node) -> None:
    (answer,) = ask_nodes({node: partial(pow, 2, 10)}, timeout_s=PATIENCE_S)
    assert (answer.node, answer.value, answer.problem) == (node, 1024, None)
    assert answer.sent_s <= answer.received_s


def test_the_call_runs_beside_attempts_that_hold_every_cpu(node: Node) -> None:
    import ray

    @ray.remote(num_cpus=node.cpus)
    class Hog:
        def ready(self) -> bool:
            return True

    hog = Hog.remote()
    assert ray.get(hog.ready.remote(), timeout=PATIENCE_S)
    (answer,) = ask_nodes({node: os.getpid}, timeout_s=PATIENCE_S)
    ray.kill(hog)
    assert answer.value is not None


@pytest.mark.parametrize(("call", "said"), [(raises, "no such thing here"), (dies, "Worker")])
def test_a_call_that_fails_is_told_apart_from_an_answer(node: Node, call, said: str) -> None:
    (answer,) = ask_nodes({node: call}, timeout_s=PATIENCE_S)
    assert answer.value is None
    assert said in (answer.problem or "")


def test_a_node_that_never_answers_is_given_up(node: Node) -> None:
    (answer,) = ask_nodes({node: partial(time.sleep, 3600)}, timeout_s=1.0)
    assert (answer.value, answer.problem) == (None, "no answer within 1 s")


def test_a_node_that_is_gone_does_not_hide_the_others(node: Node) -> None:
    gone, here = ask_nodes({NOWHERE: os.getpid, node: os.getpid}, timeout_s=PATIENCE_S)
    assert gone.node is NOWHERE
    assert gone.value is None
    assert gone.problem
    assert here.value is not None


def test_every_node_is_checked_in_a_worker(node: Node) -> None:
    (checkup,) = check_nodes([node], CheckupOrder())
    assert checkup.node == node.host
    findings = {finding.check: finding for finding in checkup.findings}
    assert "answers" not in {finding.wanted for finding in checkup.findings}
    assert findings["Ray's child cleanup"].verdict is Verdict.OK
    assert findings["versions"].verdict is Verdict.OK
    assert findings["clock"].verdict is Verdict.OK
    assert findings["niceness"].read in {"server 0", f"server {os.nice(0)}"}


def test_a_node_without_an_answer_has_that_as_its_only_finding() -> None:
    (checkup,) = check_nodes([NOWHERE], CheckupOrder())
    (finding,) = checkup.findings
    assert checkup.failed
    assert (finding.check, finding.wanted) == ("node", "answers")
