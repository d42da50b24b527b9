"""An API server of Kubernetes for tests, in this process, over real HTTP."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes_double.answers import ApiFault
from kubernetes_double.faults import Faults
from kubernetes_double.kinds import Kind
from kubernetes_double.logs import Logs
from kubernetes_double.objects import Object, Store, now
from kubernetes_double.patches import merge_patch
from kubernetes_double.routes import Answer, Request, routed
from kubernetes_double.schemas import kinds_and_schemas
from kubernetes_double.server import Wire
from kubernetes_double.special import special_answer
from kubernetes_double.verbs import Verbs
from kubernetes_double.watching import Watches

__all__ = ["KubernetesDouble", "kubernetes"]


class KubernetesDouble:
    """A cluster of one namespace, ``default``, in which nothing happens by itself.

    Args:
        upstream: Folder of CustomResourceDefinitions that count before our own.
        ome: Whether the kinds of OME are there.
    """

    def __init__(self, *, upstream: Path | None = None, ome: bool = True) -> None:
        schemas = kinds_and_schemas(upstream)
        self._schemas = {kind: schemas[kind] for kind in schemas if ome or kind.group != "ome.io"}
        self.store = Store()
        self.watches = Watches(self.store)
        self.logs = Logs()
        self.token = secrets.token_hex(8)
        self.requests: list[Request] = []
        """As they came, oldest first."""
        self._verbs = Verbs(self.store, self._schemas, self.watches, self.logs)
        self.add_namespace("default")
        self._wire = Wire(self._answer)
        self.faults = Faults(self.watches, self._wire.go_away, self._wire.come_back)

    @property
    def url(self) -> str:
        return self._wire.url

    def close(self) -> None:
        self._wire.go_away()

    def kind(self, plural: str) -> Kind:
        return next(kind for kind in self._schemas if plural in (kind.plural, kind.resource))

    def kubeconfig(
        self, path: Path, *, namespace: str = "default", token: str | None = None
    ) -> Path:
        """Writes a file with one context, ``double``; ``token``: instead of the right one."""
        user = {"token": self.token if token is None else token}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "double",
            "clusters": [{"name": "double", "cluster": {"server": self.url}}],
            "users": [{"name": "tester", "user": user}],
            "contexts": [
                {
                    "name": "double",
                    "context": {"cluster": "double", "user": "tester", "namespace": namespace},
                }
            ],
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def objects(self, plural: str, namespace: str | None = None) -> list[Object]:
        """Copies, in order of their names; without a namespace, of all."""
        return self.store.list(self.kind(plural), namespace)

    def object(self, plural: str, namespace: str, name: str) -> Object | None:
        kind = self.kind(plural)
        there = self.store.has(kind, namespace, name)
        return self.store.get(kind, namespace, name) if there else None

    def add(self, plural: str, content: Mapping[str, Any]) -> Object:
        """Puts an object there as it is, status and all, whatever its schema says."""
        kind = self.kind(plural)
        made = {"apiVersion": kind.api_version, "kind": kind.name, **copy.deepcopy(dict(content))}
        if kind.namespaced:
            made["metadata"].setdefault("namespace", "default")
        return self.store.create(kind, made)

    def add_namespace(self, name: str) -> Object:
        return self.add(
            "namespaces", {"metadata": {"name": name}, "spec": {}, "status": {"phase": "Active"}}
        )

    def patch(self, plural: str, namespace: str, name: str, changes: Mapping[str, Any]) -> Object:
        """Merges changes into the object, but for its status, as a controller would."""
        return self._merge(plural, namespace, name, changes, status=False)

    def patch_status(
        self, plural: str, namespace: str, name: str, status: Mapping[str, Any]
    ) -> Object:
        """Merges into the status, as a controller would; lists are replaced."""
        return self._merge(plural, namespace, name, {"status": status}, status=True)

    def _merge(
        self, plural: str, namespace: str, name: str, changes: Mapping[str, Any], *, status: bool
    ) -> Object:
        def edit(current: Object) -> Object:
            return merge_patch(current, changes)  # type: ignore[no-any-return]

        return self.store.change(self.kind(plural), namespace, name, edit, status=status)

    def delete(self, plural: str, namespace: str, name: str, *, grace_s: int | None = None) -> None:
        """As a user would, or a kubelet with ``grace_s=0``."""
        self.store.delete(self.kind(plural), namespace, name, grace_s=grace_s)

    def add_event(
        self, about: Mapping[str, Any], sort: str, reason: str, message: str, count: int = 1
    ) -> Object:
        """An event of an object; ``sort``: ``Normal`` or ``Warning``."""
        metadata = about["metadata"]
        namespace = metadata.get("namespace", "default")
        event = {
            "metadata": {
                "name": f"{metadata['name']}.{secrets.token_hex(6)}",
                "namespace": namespace,
            },
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "name": metadata["name"],
                "namespace": namespace,
                "uid": metadata["uid"],
            },
            "type": sort,
            "reason": reason,
            "message": message,
            "count": count,
            "firstTimestamp": now(),
            "lastTimestamp": now(),
            "source": {"component": "double"},
        }
        return self.add("events", event)

    def set_log(self, namespace: str, pod: str, text: str | Path, *, previous: str = "") -> None:
        """A path is read anew whenever the log is asked for."""
        self.logs.set(namespace, pod, text, previous=previous)

    def _answer(self, request: Request) -> Answer | None:
        """None: the connection breaks."""
        self.requests.append(request)
        fault = self.faults.of(request.method, request.path)
        if fault is not None and not fault.after:
            if not fault.code:
                return None
            wait = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
            return Answer(ApiFault(fault.code, fault.message).status, fault.code, headers=wait)
        if request.headers.get("authorization") != f"Bearer {self.token}":
            raise ApiFault(401, "Unauthorized")
        answer = special_answer(request, tuple(self._schemas), self.faults)
        if answer is None:
            route = routed(request, self._schemas)
            self.faults.check(route.verb, route.kind, route.part, route.namespace, route.name)
            answer = self._verbs.answer(route, request)
        return answer if fault is None else None


@contextmanager
def kubernetes(*, upstream: Path | None = None, ome: bool = True) -> Iterator[KubernetesDouble]:
    """A double for as long as the context lasts."""
    double = KubernetesDouble(upstream=upstream, ome=ome)
    try:
        yield double
    finally:
        double.close()
