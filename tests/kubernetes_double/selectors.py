"""Which objects a label selector and a field selector choose."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from kubernetes_double.answers import bad_request
from kubernetes_double.kinds import Kind

__all__ = ["Chooser", "field_chooser", "label_chooser"]

Chooser = Callable[[Mapping[str, Any]], bool]

_SET = re.compile(r"([^\s!=(),]+)\s+(in|notin)\s*\(([^()]*)\)")
_EQUAL = re.compile(r"([^\s!=(),]+)\s*(==|=|!=)\s*([^\s!=(),]*)")
_EXISTS = re.compile(r"(!?)\s*([^\s!=(),]+)")

_FIELDS = {
    "pods": {
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    },
    "events": {
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    },
    "secrets": {"type"},
    "namespaces": {"status.phase"},
    "jobs": {"status.successful"},
}


def label_chooser(selector: str) -> Chooser:
    parts = re.split(r",(?![^(]*\))", selector) if selector else []
    tests = [_label_test(part) for part in parts]

    def chooses(found: Mapping[str, Any]) -> bool:
        labels = found.get("metadata", {}).get("labels") or {}
        return all(test(labels) for test in tests)

    return chooses


def _label_test(part: str) -> Callable[[Mapping[str, str]], bool]:
    part = part.strip()
    if match := _SET.fullmatch(part):
        key, how, listed = match.groups()
        values = {value.strip() for value in listed.split(",")}
        if how == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUAL.fullmatch(part):
        key, sign, value = match.groups()
        if sign == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _EXISTS.fullmatch(part):
        absent, key = match.groups()
        return lambda labels: (key not in labels) == bool(absent)
    raise bad_request(f"unable to parse requirement: {part}")


def field_chooser(selector: str, kind: Kind) -> Chooser:
    """A field that the server keeps no index of is refused, as a typo would else choose all."""
    known = {"metadata.name", "metadata.namespace"} | _FIELDS.get(kind.plural, set())
    tests: list[Chooser] = []
    for part in filter(None, selector.split(",")):
        match = re.fullmatch(r"([^!=]+)(==|=|!=)(.*)", part)
        if match is None:
            raise bad_request(f"invalid selector: '{selector}'; can't understand '{part}'")
        field, sign, value = match.groups()
        if field not in known:
            raise bad_request(f"field label not supported: {field}")
        tests.append(_field_test(field, sign, value))
    return lambda found: all(test(found) for test in tests)


def _field_test(field: str, sign: str, value: str) -> Chooser:
    def test(found: Mapping[str, Any]) -> bool:
        place: Any = found
        for key in field.split("."):
            place = place.get(key) if isinstance(place, Mapping) else None
        if field == "source":
            place = (found.get("source") or {}).get("component")
        return ((place or "") == value) != (sign == "!=")

    return test
