"""What the server makes of an object that it is sent: pruned, with defaults, or refused."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubernetes_double.answers import ApiFault, Cause, bad_request, invalid
from kubernetes_double.kinds import Kind
from kubernetes_double.structural import Schema, find_faults, prune, set_defaults

__all__ = ["admit"]

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAMES: Mapping[str, tuple[str, int]] = {
    "Service": (r"[a-z]([-a-z0-9]*[a-z0-9])?", 63),
    "Namespace": (_LABEL, 63),
    # OME's webhook wants it so.
    "InferenceService": (r"[a-z]([-a-z0-9]*[a-z0-9])?", 63),
}
_OTHER_NAMES = (rf"{_LABEL}(\.{_LABEL})*", 253)
_KEY = re.compile(rf"({_LABEL}(\.{_LABEL})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_MOST_ANNOTATIONS = 256 * 1024


def admit(kind: Kind, schema: Schema, sent: dict[str, Any], validation: str) -> list[str]:
    """Changes the object in place; the warnings about it.

    ``validation``: Strict, Warn or Ignore. Raises ApiFault 400 or 422.
    """
    _check_request(kind, sent, validation)
    unknown = [f'unknown field "{path}"' for path in prune(sent, schema)]
    if unknown and validation == "Strict":
        raise bad_request(
            f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: '
            f"strict decoding error: {', '.join(unknown)}"
        )
    set_defaults(sent, schema)
    _fill_in(kind, sent)
    faults = list(find_faults(sent, schema))
    for fault in faults:
        if fault.reason == "FieldValueTypeInvalid" and fault.field.startswith("metadata."):
            raise bad_request(
                f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: '
                f"json: cannot unmarshal into Go struct field ObjectMeta.{fault.field[9:]}"
            )
    faults = [*_metadata_faults(kind, sent["metadata"]), *faults]
    if not faults:
        faults += _PECULIAR.get(kind.name, lambda _: ())(sent)
    if faults and not kind.custom and faults[0].reason == "FieldValueTypeInvalid":
        raise bad_request(
            f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: '
            f"json: cannot unmarshal into Go struct field {faults[0].field}"
        )
    if faults:
        raise invalid(kind, sent["metadata"].get("name", ""), faults)
    return unknown if validation == "Warn" else []


def _check_request(kind: Kind, sent: dict[str, Any], validation: str) -> None:
    if validation not in ("Strict", "Warn", "Ignore"):
        why = f'Unsupported value: "{validation}": supported values: "", "Ignore", "Strict", "Warn"'
        raise ApiFault(422, f'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: {why}')
    if sent.get("apiVersion") not in (None, kind.api_version):
        raise bad_request(
            f"the API version in the data ({sent['apiVersion']}) does not match the expected "
            f"API version ({kind.api_version})"
        )
    if (sent.get("apiVersion"), sent.get("kind")) != (kind.api_version, kind.name):
        told = f"{sent.get('apiVersion')}, Kind={sent.get('kind')}"
        raise bad_request(f"the object provided is unrecognized: {told}, not {kind.name}")


def _fill_in(kind: Kind, sent: dict[str, Any]) -> None:
    if kind.name == "Secret":
        for name, text in (sent.pop("stringData", None) or {}).items():
            encoded = base64.b64encode(str(text).encode()).decode()
            sent.setdefault("data", {})[name] = encoded
    elif kind.name == "Pod":
        sent.setdefault("spec", {}).setdefault("restartPolicy", "Always")
        sent["spec"].setdefault("terminationGracePeriodSeconds", 30)
        sent.setdefault("status", {"phase": "Pending", "qosClass": "BestEffort"})
    elif kind.name == "Service":
        spec = sent.setdefault("spec", {})
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("clusterIP", "10.96.0.10")
        for port in spec.get("ports") or ():
            port.setdefault("targetPort", port.get("port"))
    elif kind.name == "Namespace":
        sent.setdefault("status", {"phase": "Active"})


def _metadata_faults(kind: Kind, metadata: Mapping[str, Any]) -> Iterator[Cause]:
    name = metadata.get("name")
    pattern, most = _NAMES.get(kind.name, _OTHER_NAMES)
    if name is None:
        if not metadata.get("generateName"):
            why = "Required value: name or generateName is required"
            yield Cause("metadata.name", why, "FieldValueRequired")
    elif not re.fullmatch(pattern, name) or len(name) > most:
        why = f"must be at most {most} characters and match '{pattern}'"
        yield _wrong("metadata.name", name, why)
    for key, value in (metadata.get("labels") or {}).items():
        if not _KEY.fullmatch(key):
            yield _wrong(
                "metadata.labels", key, "name part must consist of alphanumeric characters"
            )
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            why = "a valid label must be an empty string or consist of at most 63 alphanumeric"
            yield _wrong("metadata.labels", value, f"{why} characters, '-', '_' or '.'")
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        if not _KEY.fullmatch(key):
            yield _wrong("metadata.annotations", key, "name part must be alphanumeric characters")
    if sum(len(key) + len(str(value)) for key, value in annotations.items()) > _MOST_ANNOTATIONS:
        why = f"Too long: may not be more than {_MOST_ANNOTATIONS} bytes"
        yield Cause("metadata.annotations", why, "FieldValueTooLong")
    for finalizer in metadata.get("finalizers") or ():
        if kind.custom is False and "/" not in finalizer:
            yield _wrong("metadata.finalizers", finalizer, "name is neither standard nor qualified")


def _wrong(field: str, value: Any, why: str) -> Cause:
    return Cause(field, f'Invalid value: "{value}": {why}', "FieldValueInvalid")


def _pod_faults(sent: Mapping[str, Any]) -> Iterator[Cause]:
    spec = sent["spec"]
    volumes = {volume["name"] for volume in spec.get("volumes") or ()}
    for i, container in enumerate(spec["containers"]):
        place = f"spec.containers[{i}]"
        if not re.fullmatch(_LABEL, container["name"]):
            yield _wrong(f"{place}.name", container["name"], "must be a DNS label")
        for j, mount in enumerate(container.get("volumeMounts") or ()):
            if mount["name"] not in volumes:
                field = f"{place}.volumeMounts[{j}].name"
                yield Cause(field, f'Not found: "{mount["name"]}"', "FieldValueNotFound")
        yield from _resource_faults(container.get("resources") or {}, f"{place}.resources")


def _resource_faults(resources: Mapping[str, Any], place: str) -> Iterator[Cause]:
    """Devices cannot be overcommitted: the server wants a limit, and the same request."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name in {**limits, **requests}:
        if "/" in name and name not in limits:
            yield Cause(
                f"{place}.limits",
                "Required value: Limit must be set for non overcommitable resources",
                "FieldValueRequired",
            )
        elif "/" in name and str(requests.get(name, limits[name])) != str(limits[name]):
            why = f"must be equal to {name} limit of {limits[name]}"
            yield _wrong(f"{place}.requests", requests[name], why)


def _service_faults(sent: Mapping[str, Any]) -> Iterator[Cause]:
    if not sent["spec"].get("ports") and sent["spec"].get("clusterIP") != "None":
        yield Cause("spec.ports", "Required value", "FieldValueRequired")


def _secret_faults(sent: Mapping[str, Any]) -> Iterator[Cause]:
    for name, value in (sent.get("data") or {}).items():
        try:
            base64.b64decode(value, validate=True)
        except ValueError:
            raise ApiFault(400, f"illegal base64 data in data.{name}") from None
    yield from ()


_PECULIAR: Mapping[str, Any] = {
    "Pod": _pod_faults,
    "Service": _service_faults,
    "Secret": _secret_faults,
}
