"""What the launcher of a study needs of this node."""

from __future__ import annotations

from collections.abc import Iterator

from autotuner.errors import PlanError
from autotuner.launchers.base import Readiness
from autotuner.launchers.registry import load_launcher
from autotuner.node.checkup.finding import CheckupOrder, Finding, failure, good, warning
from autotuner.node.checkup.software import unused_by_study
from autotuner.spec.server import Footprint, ServerConfig

__all__ = ["launcher", "readiness"]

_WANTED = "ready"


def readiness(
    server: ServerConfig, footprint: Footprint, *, fetch: bool = False
) -> tuple[Readiness, ...]:
    """What the server's launcher finds here; with ``fetch``, what takes long is brought here."""
    return tuple(load_launcher(server.launcher).check(server, footprint, fetch=fetch))


def launcher(order: CheckupOrder) -> Iterator[Finding]:
    """A finding for each thing that the launcher of the study looks at; a process needs none."""
    if order.study is None or unused_by_study(order):
        return
    try:
        found = readiness(order.study.server, order.study.footprint)
    except PlanError as error:
        fix = "Install on this node what the driver has, or choose another launcher."
        yield failure(f"launcher {order.study.server.launcher}", str(error), "can be loaded", fix)
    else:
        yield from map(_judged, found)


def _judged(one: Readiness) -> Finding:
    if one.fix is None:
        return good(one.check, one.read)
    judge = failure if one.blocks else warning
    return judge(one.check, one.read, _WANTED, f"{one.fix[:1].upper()}{one.fix[1:].rstrip('.')}.")
