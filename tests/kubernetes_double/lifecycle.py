"""What becomes of an object's metadata and status as it is changed, and when it is over."""

from __future__ import annotations

import copy
from typing import Any

from kubernetes_double.answers import bad_request, conflict
from kubernetes_double.kinds import Kind

__all__ = [
    "KEPT_METADATA",
    "check_identity",
    "check_uid",
    "content",
    "is_over",
    "period_s",
    "revised",
]

KEPT_METADATA = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def content(made: dict[str, Any]) -> dict[str, Any]:
    """All but the version."""
    metadata = {name: each for name, each in made["metadata"].items() if name != "resourceVersion"}
    return {**made, "metadata": metadata}


def check_identity(kind: Kind, current: dict[str, Any], edited: dict[str, Any]) -> None:
    """Raises ApiFault 409 for an object that is not the current one, 400 for another's name."""
    mine, theirs = current["metadata"], edited["metadata"]
    for name in ("resourceVersion", "uid"):
        if theirs.get(name) and theirs[name] != mine[name]:
            raise conflict(kind, mine["name"])
    for name in ("name", "namespace"):
        if theirs.get(name, mine.get(name)) != mine.get(name):
            raise bad_request(f"the {name} of the object does not match the {name} on the URL")


def check_uid(kind: Kind, current: dict[str, Any], uid: str | None) -> None:
    """Raises ApiFault 409 where another object of that name is meant; None: whichever it is."""
    metadata = current["metadata"]
    if uid not in (None, metadata["uid"]):
        raise conflict(
            kind,
            metadata["name"],
            f"the UID in the precondition ({uid}) does not match the UID in record "
            f"({metadata['uid']}). The object might have been deleted and then recreated",
        )


def revised(
    kind: Kind, current: dict[str, Any], edited: dict[str, Any], *, status: bool
) -> dict[str, Any]:
    """``edited`` with what no request changes; ``status``: the current one with its status."""
    if status:
        made = {**copy.deepcopy(current), "status": edited.get("status", {})}
        if "managedFields" in edited["metadata"]:
            made["metadata"]["managedFields"] = edited["metadata"]["managedFields"]
        return made
    made = {name: each for name, each in edited.items() if name != "status" or not kind.status}
    if kind.status and "status" in current:
        made["status"] = current["status"]
    metadata = {**edited["metadata"], "resourceVersion": current["metadata"]["resourceVersion"]}
    for name in (*KEPT_METADATA, "name", "namespace", "generation"):
        metadata.pop(name, None)
        if name in current["metadata"]:
            metadata[name] = current["metadata"][name]
    if "generation" in metadata and edited.get("spec") != current.get("spec"):
        metadata["generation"] += 1
    return {**made, "metadata": metadata}


def is_over(made: dict[str, Any]) -> bool:
    """Whether a deleted object waits for nothing any more."""
    metadata = made["metadata"]
    ending = metadata.get("deletionTimestamp") is not None
    return (
        ending and not metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds")
    )


def period_s(kind: Kind, current: dict[str, Any], asked_s: int | None) -> int:
    """For how long an object is there after its deletion, if nobody does more about it.

    A pod on a node is there until its kubelet has ended it, and says so by a period of 0.
    """
    if kind.name != "Pod" or not current["spec"].get("nodeName"):
        return 0
    if current.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    found: int = current["spec"].get("terminationGracePeriodSeconds", 30)
    return found if asked_s is None else asked_s
