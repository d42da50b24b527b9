"""The words of `ray start` that the operator makes of a group, in the order of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ray.autoscaler._private.kuberay.utils import parse_quantity

__all__ = ["start_words"]

_ADDED = {"metrics-export-port": "8080", "dashboard-agent-listen-port": "52365"}
_SWITCHES = {"block", "head", "no-monitor"}


def start_words(group: Mapping[str, Any], *, head: bool, autoscaling: bool) -> list[str]:
    """Arguments behind ``ray start``."""
    given = {**_ADDED, "block": "true", **group.get("rayStartParams", {})}
    if head:
        given = {"head": "true", "dashboard-host": "0.0.0.0", **given}
        given |= {"no-monitor": "true"} if autoscaling else {}
    else:
        given.setdefault("address", "head:6379")
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    own = dict(group.get("resources", {}))
    given |= {"num-cpus": own.pop("CPU")} if "CPU" in own else {}
    given |= {"resources": json.dumps({n: float(q) for n, q in own.items()})} if own else {}
    given.setdefault("num-cpus", str(int(parse_quantity(limits["cpu"]))))
    given.setdefault("memory", str(int(parse_quantity(limits["memory"]))))
    if gpus := limits.get("nvidia.com/gpu"):
        given.setdefault("num-gpus", gpus)
    return [f"--{n}" if n in _SWITCHES else f"--{n}={value}" for n, value in sorted(given.items())]
