"""One namespace of a Kubernetes cluster: its objects, as dicts, by kind and name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from autotuner.kubernetes_api.faults import NotThereError, UnreachableError
from autotuner.kubernetes_api.kinds import ACCESS_REVIEW, EVENT, POD, Kind, kind_of
from autotuner.kubernetes_api.wire import Answer, Wire

__all__ = ["FIELD_MANAGER", "Cluster", "selection"]

FIELD_MANAGER = "autotuner"
"""By this name Kubernetes remembers which fields are ours."""
_MOST_EVENTS = "500"

Object = dict[str, Any]


class Cluster:
    """Everything is in one namespace, or in none. Safe to use from several threads.

    Methods raise `KubernetesError`; see `autotuner.kubernetes_api.faults`.
    """

    def __init__(self, wire: Wire, namespace: str) -> None:
        self.wire = wire
        self.namespace = namespace

    @property
    def server(self) -> str:
        """Address of the API."""
        return self.wire.server

    def get(self, kind: Kind, name: str) -> Object:
        """Raises NotThereError."""
        return self.wire.ask("GET", kind.path(self.namespace, name)).content

    def find(self, kind: Kind, name: str) -> Object | None:
        """The object, or None where there is none, or no such kind."""
        try:
            return self.get(kind, name)
        except NotThereError:
            return None

    def select(
        self,
        kind: Kind,
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        limit: str | None = None,
    ) -> list[Object]:
        """Objects with these labels and fields; raises NotThereError where there is no such kind.

        Args:
            limit: The first so many are enough.
        """
        query = selection(labels, fields)
        if limit is not None:
            query["limit"] = limit
        items = self.wire.ask("GET", kind.path(self.namespace), query=query).content["items"]
        # Items of a list do not say what they are.
        return [{"apiVersion": kind.api_version, "kind": kind.name, **item} for item in items]

    def apply(self, content: Mapping[str, Any], *, dry: bool = False) -> Object:
        """Create the object, or make it say what ours says; unknown fields are refused.

        Args:
            dry: Only look whether the server would take it.
        """
        kind = kind_of(content)
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", "force": "true"}
        if dry:
            query["dryRun"] = "All"
        return self.wire.ask(
            "PATCH",
            kind.path(self.namespace, content["metadata"]["name"]),
            query=query,
            body=content,
            content_type="application/apply-patch+yaml",  # JSON is YAML
        ).content

    def patch(self, kind: Kind, name: str, content: Mapping[str, Any]) -> Object:
        """Merge something into an object that is there; raises NotThereError."""
        return self.wire.ask(
            "PATCH",
            kind.path(self.namespace, name),
            query={"fieldManager": FIELD_MANAGER},
            body=content,
            content_type="application/merge-patch+json",
        ).content

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        uid: str | None = None,
        grace_s: int | None = None,
        foreground: bool = False,
    ) -> bool:
        """Ask for the end of an object; whether there was one. It may take its time to be gone.

        Args:
            uid: Only that very object, and not one that has its name since.
            grace_s: For a pod, between its signals; 0 would forget it while it still runs.
            foreground: The object stays until all that belongs to it is gone.
        """
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
        options["propagationPolicy"] = "Foreground" if foreground else "Background"
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            self.wire.ask("DELETE", kind.path(self.namespace, name), body=options)
        except NotThereError:
            return False
        return True

    def delete_all(self, kind: Kind, labels: Mapping[str, str]) -> None:
        """Ask for the end of all objects with these labels, without having to see them."""
        self.wire.ask("DELETE", kind.path(self.namespace), query=selection(labels, None))

    def events_of(self, name: str | None = None) -> list[Object]:
        """What went wrong with the object of this name; None: with any of the namespace."""
        fields = {"type": "Warning"}
        if name is not None:
            fields["involvedObject.name"] = name
        return self.select(EVENT, fields=fields, limit=_MOST_EVENTS)

    def log_tail(self, pod: str, container: str, *, lines: int, previous: bool = False) -> str:
        """The end of a container's log.

        Args:
            previous: Of the container before its last restart.
        """
        query = {"container": container, "tailLines": str(lines)}
        if previous:
            query["previous"] = "true"
        return self.wire.text(POD.path(self.namespace, pod, "log"), query)

    def can_i(
        self, verb: str, kind: Kind, *, subresource: str = "", name: str = ""
    ) -> tuple[bool, str]:
        """Whether we may do that, and why (or why not) as far as the server tells."""
        attributes = {
            "verb": verb,
            "group": kind.group,
            "resource": kind.plural,
            "subresource": subresource,
            "name": name,
            "namespace": self.namespace if kind.namespaced else "",
        }
        review = {
            "apiVersion": ACCESS_REVIEW.api_version,
            "kind": ACCESS_REVIEW.name,
            "spec": {"resourceAttributes": {n: v for n, v in attributes.items() if v}},
        }
        status = self.wire.ask("POST", ACCESS_REVIEW.path(""), body=review).content["status"]
        return bool(status.get("allowed")), str(status.get("reason") or "")

    def version(self) -> str:
        """Such as ``v1.31.2``."""
        return str(self._version().content.get("gitVersion"))

    def now(self) -> datetime:
        """The server's clock, which all who use the cluster share; whole seconds."""
        date = self._version().date
        if date is None:
            raise UnreachableError(f"the Kubernetes API at {self.server} does not tell its time")
        return date

    def _version(self) -> Answer:
        return self.wire.ask("GET", "/version")


def selection(labels: Mapping[str, str] | None, fields: Mapping[str, str] | None) -> dict[str, str]:
    """A query for objects with these labels and fields."""
    query = {}
    if labels:
        query["labelSelector"] = selector(labels)
    if fields:
        query["fieldSelector"] = selector(fields)
    return query


def selector(pairs: Mapping[str, str]) -> str:
    """A selector of labels or fields that are equal to these."""
    return ",".join(f"{name}={value}" for name, value in pairs.items())
