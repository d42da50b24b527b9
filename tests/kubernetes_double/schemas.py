"""What objects may hold: schemas of CustomResourceDefinitions, and ours of the built-in kinds."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kubernetes_double.kinds import BUILT_IN, Kind

__all__ = ["Schema", "full_crds_folder", "kinds_and_schemas"]

Schema = dict[str, Any]

_HERE = Path(__file__).parent
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def full_crds_folder() -> Path | None:
    """The folder of the upstream definitions; None: there is none here."""
    folder = Path(os.environ.get("AUTOTUNER_TEST_CRDS") or _HERE.parents[2] / "shared" / "crds")
    return folder if any(folder.glob("ome.io_*.yaml")) else None


@functools.cache
def kinds_and_schemas(upstream: Path | None = None) -> Mapping[Kind, Schema]:
    """Every kind that is served; definitions in the folder ``upstream`` count before our own."""
    core = _resolved(_read(_HERE / "core.yaml"))
    found: dict[Kind, Schema] = {}
    for kind in BUILT_IN:
        found[kind] = _rooted(
            core["kinds"].get(kind.name, core["kinds"]["Namespace"]), core["metadata"]
        )
    for folder in (_HERE / "crds", upstream):
        for path in sorted(folder.glob("*.yaml")) if folder else ():
            definition = _read(path)
            if definition.get("kind") != "CustomResourceDefinition":
                continue
            kind, schema = _defined(definition)
            found[kind] = _rooted(_resolved(schema)["properties"], core["metadata"])
    return found


@functools.cache
def _read(path: Path) -> Any:
    with path.open("rb") as content:
        return yaml.load(content, _LOADER)  # noqa: S506 - one of the safe loaders


def _defined(definition: Mapping[str, Any]) -> tuple[Kind, Schema]:
    spec = definition["spec"]
    version = next(each for each in spec["versions"] if each["storage"])
    kind = Kind(
        spec["group"],
        version["name"],
        spec["names"]["plural"],
        spec["names"]["kind"],
        namespaced=spec["scope"] == "Namespaced",
        status="status" in (version.get("subresources") or {}),
        generations=True,
    )
    return kind, version["schema"]["openAPIV3Schema"]


def _rooted(properties: Schema, metadata: Schema) -> Schema:
    text = {"type": "string"}
    fixed = {"apiVersion": text, "kind": text, "metadata": metadata}
    return {"type": "object", "properties": {**properties, **fixed}}


def _resolved(schema: Any) -> Any:
    """With the shared parts in their places."""
    if isinstance(schema, list):
        return [_resolved(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if set(schema) == {"$ref"}:
        return _part(schema["$ref"])
    return {name: _resolved(each) for name, each in schema.items()}


@functools.cache
def _part(name: str) -> Any:
    return _resolved(_read(_HERE / "crds" / "parts.yaml")[name])
