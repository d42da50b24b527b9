"""The object that a request makes of another one, or of nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from kubernetes_double.admission import admit
from kubernetes_double.answers import ApiFault, Cause, bad_request, conflict, invalid
from kubernetes_double.applying import Manager, apply, note_update
from kubernetes_double.objects import Object, now
from kubernetes_double.patches import json_patch, merge_patch, strategic_patch
from kubernetes_double.routes import Request, Route
from kubernetes_double.schemas import Schema
from kubernetes_double.structural import find_faults, prune

__all__ = ["Writing"]

_SORTS = {
    "application/merge-patch+json": "merge",
    "application/json-patch+json": "json",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
    "application/apply-patch+json": "apply",
    "application/apply-patch+cbor": "apply",
}
_FORMATS = ("application/json", "application/yaml")
_MAY_CHANGE_IN_PODS = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds")
Made = tuple[Object, tuple[str, ...]]
"""The object, and the warnings about it."""


class Writing:
    """One request to create, replace or patch."""

    def __init__(self, route: Route, request: Request, schema: Schema) -> None:
        self._kind = route.kind
        self._route = route
        self._query = request.query
        self._schema = schema
        self._agent = request.headers.get("user-agent", "unknown").split("/")[0]
        self.sort = ""
        sent = request.headers.get("content-type", "application/json").split(";")[0].strip()
        if request.method != "PATCH" and sent not in _FORMATS:
            raise _unknown_format(_FORMATS)
        if request.method == "PATCH":
            if sent not in _SORTS or (_SORTS[sent] == "strategic" and route.kind.custom):
                raise _unknown_format(_SORTS)
            self.sort = _SORTS[sent]

    def new(self, body: Any) -> Made:
        made = self._named(copy.deepcopy(body))
        if made["metadata"].get("resourceVersion"):
            raise ApiFault(500, "resourceVersion should not be set on objects to be created", "")
        if self._kind.status:
            made.pop("status", None)
        warnings = self._admitted(made)
        self._note(None, made)
        return made, warnings

    def replaced(self, current: Object, body: Any) -> Made:
        made = self._named(body)
        if self._kind.custom and not made["metadata"].get("resourceVersion"):
            why = "Invalid value: 0: must be specified for an update"
            cause = Cause("metadata.resourceVersion", why, "FieldValueInvalid")
            raise invalid(self._kind, self._route.name, [cause])
        return self._finished(current, made)

    def patched(self, current: Object, body: Any) -> Made:
        if self.sort == "json" and not isinstance(body, list):
            raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
        if self.sort == "apply":
            return self._applied(current, self._named(body))
        if self.sort == "json":
            made = json_patch(current, body)
        elif self.sort == "strategic":
            made = strategic_patch(current, body)
        else:
            made = merge_patch(current, body)
        return self._finished(current, self._named(made))

    def applied_anew(self, body: Any) -> Made:
        sent = self._named(body)
        kept = {name: sent["metadata"].get(name) for name in ("name", "namespace")}
        metadata = {name: value for name, value in kept.items() if value}
        nothing = {"apiVersion": sent["apiVersion"], "kind": sent["kind"], "metadata": metadata}
        return self._applied(nothing, sent)

    def _applied(self, current: Object, sent: Object) -> Made:
        if not self._query.get("fieldManager"):
            raise ApiFault(
                422,
                'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: '
                "is required for apply patch",
                details={"group": "meta.k8s.io", "kind": "PatchOptions"},
            )
        if sent["metadata"].get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        if self._kind.status and not self._route.part:
            sent = _without(sent, "status")
        self._check_typed(sent)
        self._check_same(current, sent)
        warnings = self._admitted(copy.deepcopy(sent))
        manager = Manager(self._query["fieldManager"], "Apply", self._route.part)
        force = self._query.get("force") == "true"
        live = copy.deepcopy(current)
        made = apply(live, sent, self._schema, manager, force=force, moment=now())
        self._admitted(made)
        self._check_unchanged(current, made)
        return made, warnings

    def _finished(self, current: Object, made: Object) -> Made:
        if self._route.part == "status":
            asked = _only(made["metadata"], "uid", "resourceVersion")
            made = {**copy.deepcopy(current), **_only(made, "status")}
            made["metadata"] |= asked
        elif self._kind.status:
            made = {**_without(made, "status"), **_only(current, "status")}
        warnings = self._admitted(made)
        self._check_unchanged(current, made)
        self._note(current, made)
        return made, warnings

    def _named(self, sent: Any) -> Object:
        """Names that the path says, and the body leaves out or repeats."""
        if not isinstance(sent, dict):
            raise bad_request("the object provided is unrecognized: it is no object")
        metadata = sent.setdefault("metadata", {})
        if self._route.name and metadata.setdefault("name", self._route.name) != self._route.name:
            raise bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on "
                f"the URL ({self._route.name})"
            )
        if self._kind.namespaced:
            metadata["namespace"] = metadata.get("namespace") or self._route.namespace
            if metadata["namespace"] != self._route.namespace:
                raise bad_request(
                    "the namespace of the provided object does not match the namespace sent "
                    "on the request"
                )
        if not self._kind.custom:  # the path says what a built-in kind is
            sent.setdefault("apiVersion", self._kind.api_version)
            sent.setdefault("kind", self._kind.name)
        return sent

    def _admitted(self, made: Object) -> tuple[str, ...]:
        validation = self._query.get("fieldValidation") or "Warn"
        try:
            return tuple(admit(self._kind, self._schema, made, validation))
        except ApiFault as fault:
            if fault.code == 400 and self.sort and "strict decoding error" in fault.message:
                _, _, why = fault.message.partition("strict decoding error")
                message = f' "" is invalid: patch: Invalid value: strict decoding error{why}'
                raise ApiFault(422, message) from None
            raise

    def _check_typed(self, sent: Object) -> None:
        """What does not fit the schema is an error of the server, where it is applied."""
        found = [
            f".{path}: field not declared in schema"
            for path in prune(copy.deepcopy(sent), self._schema)
        ]
        for cause in find_faults(sent, self._schema):
            if cause.reason in ("FieldValueTypeInvalid", "FieldValueDuplicate"):
                found.append(f".{cause.field}: {cause.why}")
        if found:
            place = f"{sent['metadata'].get('namespace', '')}/{self._route.name}"
            raise ApiFault(
                500,
                f"failed to create typed patch object ({place}; {self._kind.api_version}, "
                f"Kind={self._kind.name}): {found[0]}",
                "",
            )

    def _check_same(self, current: Object, sent: Object) -> None:
        """Raises ApiFault where what is applied names an object that is not this one."""
        version, uid = (sent["metadata"].get(name) for name in ("resourceVersion", "uid"))
        mine = current["metadata"]
        if uid and uid != mine.get("uid"):
            why = f'Invalid value: "{uid}": field is immutable'
            raise invalid(
                self._kind, self._route.name, [Cause("metadata.uid", why, "FieldValueInvalid")]
            )
        if version and "uid" in mine and version != mine["resourceVersion"]:
            raise conflict(self._kind, self._route.name)

    def _note(self, current: Object | None, made: Object) -> None:
        name = self._query.get("fieldManager") or self._agent
        manager = Manager(name, "Update", self._route.part)
        note_update(current, made, self._schema, manager, now())

    def _check_unchanged(self, current: Object, made: Object) -> None:
        """Raises ApiFault 422 for what cannot change."""
        cause = None
        finalizers = set(made["metadata"].get("finalizers") or ())
        more = sorted(finalizers - set(current["metadata"].get("finalizers") or ()))
        if more and "deletionTimestamp" in current["metadata"]:
            why = (
                "Forbidden: no new finalizers can be added if the object is being deleted, "
                f"found new finalizers {more}"
            )
            cause = Cause("metadata.finalizers", why, "FieldValueForbidden")
        if current.get("immutable") and made.get("data") != current.get("data"):
            cause = Cause(
                "data", "Forbidden: field is immutable when `immutable` is set", "Forbidden"
            )
        if self._kind.name == "Pod" and "spec" in current and _fixed(made) != _fixed(current):
            why = (
                "Forbidden: pod updates may not change fields other than "
                "`spec.containers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations`"
            )
            cause = Cause("spec", why, "FieldValueForbidden")
        if cause:
            raise invalid(self._kind, self._route.name, [cause])


def _unknown_format(known: Iterable[str]) -> ApiFault:
    told = "the body of the request was in an unknown format - accepted media types include"
    return ApiFault(415, f"{told}: {', '.join(known)}")


def _only(found: Object, *names: str) -> Object:
    return {name: copy.deepcopy(found[name]) for name in names if name in found}


def _without(found: Object, name: str) -> Object:
    return {each: value for each, value in found.items() if each != name}


def _fixed(pod: Object) -> Object:
    spec = {name: part for name, part in pod["spec"].items() if name not in _MAY_CHANGE_IN_PODS}
    spec["containers"] = [{**each, "image": ""} for each in spec["containers"]]
    return spec
