"""What Ray knows of its nodes; one function on each of them, its answer or the reason for none."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from autotuner.execution.base import Node, NodeAnswer
from autotuner.execution.ray_cluster import raylet_nodes

__all__ = ["NodeAnswer", "ask_nodes", "node_lives", "told"]

Value = TypeVar("Value")

_LOOK_S = 0.5
"""How often to ask whether the answers are still wanted."""

_TOLD_CHARACTERS = 500


def node_lives(node_id: str) -> bool:
    return any(node["NodeID"] == node_id and node["Alive"] for node in raylet_nodes())


def told(error: RayError) -> str:
    """What Ray says, without the long rest: it can list other users' command lines."""
    text = " ".join(str(error).split())
    if "running low on memory" in text:
        return "Ray ended it, since the memory of its node's host was nearly full"
    clipped = text if len(text) <= _TOLD_CHARACTERS else text[:_TOLD_CHARACTERS] + " ..."
    return f"{type(error).__name__}: {clipped}"


def ask_nodes(
    calls: Mapping[Node, Callable[[], Value]],
    *,
    timeout_s: float,
    given_up: Callable[[], bool] = lambda: False,
) -> tuple[NodeAnswer[Value], ...]:
    """`Executor.ask_nodes` on the Ray that this process has joined."""
    remote: Any = ray.remote(num_cpus=0, max_retries=0)(_call)
    waiting: dict[Any, tuple[Node, float]] = {}
    for node, call in calls.items():
        pinned = remote.options(label_selector={"ray.io/node-id": node.id})
        waiting[pinned.remote(call)] = (node, time.time())
    answers: dict[str, NodeAnswer[Value]] = {}
    deadline = time.monotonic() + timeout_s
    while waiting and (left_s := deadline - time.monotonic()) > 0 and not given_up():
        for task in ray.wait(list(waiting), timeout=min(left_s, _LOOK_S))[0]:
            received_s = time.time()
            node, sent_s = waiting.pop(task)
            value, problem = _result(task)
            answers[node.id] = NodeAnswer(node, value, problem, sent_s, received_s)
    for task, (node, sent_s) in waiting.items():
        problem = f"no answer within {timeout_s:g} s"
        answers[node.id] = NodeAnswer(node, None, problem, sent_s, time.time())
        with suppress(RayError):
            ray.cancel(task, force=True)
    return tuple(answers[node.id] for node in calls)


def _call(call: Callable[[], Value]) -> Value:
    return call()


def _result(task: Any) -> tuple[Any, str | None]:
    try:
        return ray.get(task), None
    except RayTaskError as error:
        return None, f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"
    except RayError as error:
        return None, f"{type(error).__name__}: {str(error).strip()}"
