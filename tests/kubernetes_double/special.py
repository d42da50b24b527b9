"""Answers at paths that hold no objects: the version, what there is, and what one may do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubernetes_double.faults import Faults
from kubernetes_double.kinds import Kind
from kubernetes_double.routes import Answer, Request

__all__ = ["special_answer"]

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_VERSION = {
    "major": "1",
    "minor": "34",
    "gitVersion": "v1.34.0",
    "gitCommit": "0" * 40,
    "gitTreeState": "clean",
    "buildDate": "2025-08-27T10:09:04Z",
    "goVersion": "go1.24.6",
    "compiler": "gc",
    "platform": "linux/amd64",
}


def special_answer(request: Request, kinds: Sequence[Kind], faults: Faults) -> Answer | None:
    path = request.path.rstrip("/")
    if request.method == "POST" and path == _REVIEWS:
        return Answer(_review(request.body, faults), 201)
    if request.method != "GET":
        return None
    if path in ("/healthz", "/livez", "/readyz"):
        return Answer("ok")
    found: dict[str, Any] | None
    if path == "/version":
        found = _VERSION
    elif path == "/api":
        found = {"kind": "APIVersions", "versions": ["v1"]}
    elif path == "/apis":
        groups = {(kind.group, kind.version) for kind in kinds if kind.group}
        listed = [_group(*each) for each in sorted(groups)]
        found = {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    else:
        found = _resources(path, kinds) or _one_group(path, kinds)
    return None if found is None else Answer(found)


def _review(body: Any, faults: Faults) -> dict[str, Any]:
    asked = body["spec"].get("resourceAttributes") or {}
    resource = asked.get("resource", "*")
    if asked.get("subresource"):
        resource = f"{resource}/{asked['subresource']}"
    allowed = faults.allows(asked.get("verb", "*"), resource)
    kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    status = {"allowed": allowed, **({} if allowed else {"reason": "no rule allows it"})}
    return {**kind, "metadata": {}, "spec": body["spec"], "status": status}


def _group(group: str, version: str) -> dict[str, Any]:
    preferred = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [preferred], "preferredVersion": preferred}


def _one_group(path: str, kinds: Sequence[Kind]) -> dict[str, Any] | None:
    for kind in kinds:
        if kind.group and path == f"/apis/{kind.group}":
            made = {"kind": "APIGroup", "apiVersion": "v1"}
            return {**made, **_group(kind.group, kind.version)}
    return None


def _resources(path: str, kinds: Sequence[Kind]) -> dict[str, Any] | None:
    listed = []
    version = ""
    for kind in kinds:
        if path == (f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"):
            version = kind.api_version
            entry = kind.described()
            listed.append(entry)
            if kind.status:
                verbs = ["get", "patch", "update"]
                listed.append({**entry, "name": f"{kind.plural}/status", "verbs": verbs})
    if not listed:
        return None
    made = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version}
    return {**made, "resources": listed}
