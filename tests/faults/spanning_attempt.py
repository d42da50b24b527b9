"""Carries attempts over several nodes of a cluster, one for each line that a file gets.

A line is a JSON object with the attempt's ``id``, its ``hosts``, engine ``flags`` and the
``seconds`` of its second level. Prints a JSON object for each event. Run on the cluster's head, as
a driver is: ``python spanning_attempt.py ADDRESS FILE``.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from autotuner.execution.base import AttemptLost, Slot
from autotuner.execution.on_ray import RayExecutor
from autotuner.node.events import AttemptEnded, AttemptOrder, LevelMeasured, PhaseStarted
from autotuner.planning import plan
from autotuner.spec.experiment import Attempt, Completed, Failed, Timeouts
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Direction, Objective
from autotuner.spec.server import Model
from autotuner.spec.study import BenchConfig, EngineConfig, Resources, StudySpec
from autotuner.spec.workload import StopRule, Workload

__all__: list[str] = []

TIMES = Timeouts(device_s=10.0, start_s=60.0, stop_s=3.0, level_grace_s=10.0, lease_s=10.0)


def order_of(wanted: dict[str, Any]) -> AttemptOrder:
    spec = StudySpec(
        name="spanning",
        engine=EngineConfig("sim", None, {"time-scale": 0.05, **wanted["flags"]}, {}, ()),
        model=Model("/models/tiny", "/models/tiny"),
        axes=(),
        workloads=(
            Workload("first", "D(16,8)", (1,), StopRule(60.0, 3), warmup_requests=1),
            Workload("chat", "D(16,8)", (2,), StopRule(wanted["seconds"]), warmup_requests=1),
        ),
        judging=Judging(Objective("ttft", "ttft_mean_s", Direction.MINIMIZE)),
        bench=BenchConfig("closed-loop"),
        resources=Resources(gpus=4, gpus_per_node=2),
        timeouts=TIMES,
    )
    (experiment,) = plan(spec).experiments
    # In command lines, so that whoever watches finds the processes by it.
    attempt = Attempt(wanted["id"], replace(experiment, id=wanted["id"]), 1)
    return AttemptOrder(attempt, spec.bench, spec.timeouts)


def told(event: object) -> dict[str, Any]:
    match event:
        case PhaseStarted(phase=phase):
            return {"phase": phase.value}
        case LevelMeasured(result=result):
            return {"level": str(result.level), "status": result.status.value}
        case AttemptLost(kind=kind, message=message):
            return {"ended": kind.value, "message": message, "blamed": None}
        case AttemptEnded(outcome=Failed(kind=kind, message=message)):
            ended = {"ended": kind.value, "message": message}
        case AttemptEnded(outcome=outcome):
            ended = {"ended": "completed" if outcome == Completed() else repr(outcome)}
        case _:
            return {"other": repr(event)}
    facts = {"hosts": event.facts.get("hosts"), "gpu_ids": event.facts.get("gpu_ids")}
    return {**ended, **facts, "logs": sorted(event.logs), "blamed": event.blamed_rank}


def main(address: str, orders: Path) -> None:
    taken = 0
    with RayExecutor(address) as executor:
        print(json.dumps({"ready": True}), flush=True)
        while True:
            lines = orders.read_text().splitlines()
            for line in lines[taken:]:
                wanted = json.loads(line)
                known = {node.host: node for node in executor.nodes()}
                first, *others = (known[host] for host in wanted["hosts"])
                executor.submit(order_of(wanted), Slot(first, 2, 1, others=tuple(others)))
            taken = len(lines)
            for attempt_id, event in executor.poll(0.2):
                line = json.dumps({"attempt": attempt_id, **told(event)})
                os.write(1, f"\n{line}\n".encode())  # at one go, since Ray writes there as well


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
