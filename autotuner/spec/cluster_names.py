"""What Kubernetes takes as a name, a label or a quantity.

A function named ``..._fault`` returns what is wrong in words for the user, or None.
"""

from __future__ import annotations

import re

__all__ = [
    "label_key_fault",
    "label_value_fault",
    "name_fault",
    "namespace_fault",
    "own_key_fault",
    "quantity_fault",
    "resource_fault",
]

_OWN_PREFIX = "autotuner"
"""Labels and annotations of this prefix are those by which autotuner finds what it has made."""

_DNS_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*")
_NAMESPACE = re.compile(_DNS_LABEL)
_SIMPLE = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_QUALIFIED = re.compile(rf"(?:{_NAME.pattern}/)?{_SIMPLE}")
_EXTENDED = re.compile(rf"{_NAME.pattern}/{_SIMPLE}")
_QUANTITY = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+|[numkMGTPE]|[KMGTPE]i)?")
_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt])(i?)b?", re.IGNORECASE)
_MOST_CHARACTERS = 253
_LEAST_MEMORY = 1e6
_IN_BYTES = ("memory", "ephemeral-storage")


def name_fault(name: str) -> str | None:
    """What is wrong with the name of an object."""
    if len(name) <= _MOST_CHARACTERS and _NAME.fullmatch(name):
        return None
    return "this is no name in Kubernetes; use lower-case letters, digits, - and ."


def namespace_fault(name: str) -> str | None:
    """What is wrong with the name of a namespace."""
    if _NAMESPACE.fullmatch(name):
        return None
    return "this is no namespace's name; use at most 63 lower-case letters, digits and -"


def label_key_fault(key: str) -> str | None:
    """What is wrong with the key of a label, an annotation or a node selector."""
    if _QUALIFIED.fullmatch(key) is None:
        return "this is no label's key; use letters, digits, -, _ and ., such as `example.com/team`"
    return None


def own_key_fault(key: str) -> str | None:
    """What is wrong with the key of a label or annotation that is added to what autotuner makes."""
    if key.startswith(_OWN_PREFIX):
        return f"keys that begin with `{_OWN_PREFIX}` are autotuner's own; use another"
    return label_key_fault(key)


def label_value_fault(value: str) -> str | None:
    """What is wrong with the value of a label or a node selector."""
    if value == "" or re.fullmatch(_SIMPLE, value):
        return None
    return "this is no label's value; use at most 63 letters, digits, -, _ and ."


def resource_fault(name: str) -> str | None:
    """What is wrong with the name under which a cluster counts devices."""
    if _EXTENDED.fullmatch(name):
        return None
    return "write the name with its vendor, such as `nvidia.com/gpu` or `amd.com/gpu`"


def quantity_fault(resource: str, text: str) -> str | None:
    """What is wrong with an amount of a resource, such as ``64Gi`` of ``memory``."""
    if _QUANTITY.fullmatch(text) is None:
        if (unit := _UNIT.fullmatch(text)) is not None:
            return f"write the unit as Kubernetes spells it: {unit[1]}{unit[2].upper()}i"
        return "write an amount as Kubernetes spells it, such as 8, 500m or 64Gi"
    digits = re.match(r"[\d.]+(?:[eE][-+]?\d+)?", text)
    number = float(digits[0]) if digits is not None else 0.0
    unit_text = text[len(digits[0]) :] if digits is not None else ""
    if number == 0:
        return "write an amount above 0, or remove this key"
    if resource in _IN_BYTES and unit_text in ("n", "u", "m"):
        return f"`{unit_text}` makes this less than a byte; write {number:g}Mi or {number:g}Gi"
    if resource in _IN_BYTES and unit_text == "" and number < _LEAST_MEMORY:
        return f"this would be {text} bytes; write the unit: {text}Gi"
    return None
