"""The flags of a study against those that the engine of this node knows."""

from __future__ import annotations

from collections.abc import Iterator

from autotuner.node.checkup.finding import CheckupOrder, Finding, failure, good
from autotuner.node.checkup.software import unused_by_study
from autotuner.node.known_flags import look_at_flags

__all__ = ["flags"]

_WANTED = "all known to the engine"
_FIX = (
    "Change these in the study file, or set engine.check_flags: false where the engine takes them "
    "all the same."
)


def flags(order: CheckupOrder) -> Iterator[Finding]:
    """One finding, of all flags together."""
    study = order.study
    if study is None or not study.flags or unused_by_study(order):
        return
    look = look_at_flags(study.server, study.flags)
    if look.unchecked is not None:
        yield good("flags", f"not checked: engine {look.engine}: {look.unchecked}")
    elif not look.faults:
        yield good("flags", f"{len(study.flags)}, known to {look.engine}", _WANTED)
    else:
        read = "; ".join(fault.words for fault in look.faults)
        yield failure("flags", f"{look.engine} {read}", _WANTED, _FIX)
