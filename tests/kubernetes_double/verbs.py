"""What the server does for each verb."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kubernetes_double.answers import ApiFault, bad_request, conflict, not_found, success
from kubernetes_double.kinds import Kind
from kubernetes_double.logs import Logs
from kubernetes_double.objects import Object, Store
from kubernetes_double.routes import Answer, Request, Route
from kubernetes_double.schemas import Schema
from kubernetes_double.selectors import field_chooser, label_chooser
from kubernetes_double.watching import Asked, Watches
from kubernetes_double.writing import Writing

__all__ = ["Verbs"]

_LONGEST_WATCH_S = 1800.0


class Verbs:
    """Thread-safe."""

    def __init__(
        self, store: Store, schemas: Mapping[Kind, Schema], watches: Watches, logs: Logs
    ) -> None:
        self._store = store
        self._schemas = schemas
        self._watches = watches
        self._logs = logs
        self._namespaces = next(kind for kind in schemas if kind.name == "Namespace")

    def answer(self, route: Route, request: Request) -> Answer:
        """Raises ApiFault."""
        if route.part == "log":
            return self._log(route, request)
        if route.part not in ("", "status") or (route.part and not route.kind.status):
            raise not_found(route.kind, route.name)
        if route.verb == "create" and route.kind.namespaced and not route.namespace:
            raise ApiFault(404, "404 page not found")
        verbs: Mapping[str, Callable[[Route, Request], Answer]] = {
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        return verbs[route.verb](route, request)

    def _create(self, route: Route, request: Request) -> Answer:
        writing = self._writing(route, request)
        made, warnings = writing.new(request.body)
        self._check_namespace(route)
        return Answer(self._store.create(route.kind, made, dry=_dry(request)), 201, warnings)

    def _check_namespace(self, route: Route) -> None:
        if route.kind.namespaced and not self._store.has(self._namespaces, "", route.namespace):
            raise not_found(self._namespaces, route.namespace)

    def _update(self, route: Route, request: Request) -> Answer:
        return self._change(route, request, self._writing(route, request).replaced)

    def _patch(self, route: Route, request: Request) -> Answer:
        writing = self._writing(route, request)
        applies = writing.sort == "apply"
        with self._store.changed:
            if applies and not self._store.has(route.kind, route.namespace, route.name):
                self._check_namespace(route)
                made, warnings = writing.applied_anew(request.body)
                return Answer(
                    self._store.create(route.kind, made, dry=_dry(request)), 201, warnings
                )
            return self._change(route, request, writing.patched)

    def _writing(self, route: Route, request: Request) -> Writing:
        return Writing(route, request, self._schemas[route.kind])

    def _change(
        self,
        route: Route,
        request: Request,
        edit: Callable[[Object, Any], tuple[Object, tuple[str, ...]]],
    ) -> Answer:
        told: list[str] = []

        def edited(current: Object) -> Object:
            made, warnings = edit(current, copy.deepcopy(request.body))
            told.extend(warnings)
            return made

        place = (route.kind, route.namespace, route.name)
        made = self._store.change(*place, edited, status=route.part == "status", dry=_dry(request))
        return Answer(made, 200, tuple(told))

    def _get(self, route: Route, request: Request) -> Answer:
        return Answer(self._store.get(route.kind, route.namespace, route.name))

    def _chosen(self, route: Route, request: Request) -> Callable[[Mapping[str, Any]], bool]:
        labels = label_chooser(request.query.get("labelSelector", ""))
        fields = field_chooser(request.query.get("fieldSelector", ""), route.kind)
        return lambda found: labels(found) and fields(found)

    def _list(self, route: Route, request: Request) -> Answer:
        chooses = self._chosen(route, request)
        with self._store.changed:
            version = str(self._store.version)
            there = self._store.list(route.kind, route.namespace or None)
        items = [found for found in there if chooses(found)]
        metadata: dict[str, Any] = {"resourceVersion": version}
        start, most = _number(request, "continue"), _number(request, "limit")
        if most and len(items) > start + most:
            metadata |= {
                "continue": str(start + most),
                "remainingItemCount": len(items) - start - most,
            }
        items = items[start : start + most] if most else items[start:]
        if not route.kind.custom:  # as in real lists of the built-in kinds
            for each in items:
                del each["apiVersion"], each["kind"]
        kind = {"apiVersion": route.kind.api_version, "kind": f"{route.kind.name}List"}
        return Answer({**kind, "metadata": metadata, "items": items})

    def _watch(self, route: Route, request: Request) -> Answer:
        if not request.query.get("resourceVersion", "0").isdecimal():
            told = request.query["resourceVersion"]
            raise ApiFault(500, f'resourceVersion: Invalid value: "{told}": invalid syntax', "")
        asked = Asked(
            route.kind,
            route.namespace or None,
            self._chosen(route, request),
            request.query.get("resourceVersion", ""),
            float(request.query.get("timeoutSeconds") or _LONGEST_WATCH_S),
            request.asks("allowWatchBookmarks"),
        )

        def lines() -> Iterator[bytes | None]:
            for event in self._watches.events(asked):
                yield None if event is None else json.dumps(event).encode() + b"\n"

        return Answer(lines())

    def _delete(self, route: Route, request: Request) -> Answer:
        options = _deletion(request)
        with self._store.changed:
            current = self._store.get(route.kind, route.namespace, route.name)
            version = options.pop("version")
            if version not in (None, current["metadata"]["resourceVersion"]):
                raise conflict(route.kind, route.name, "the ResourceVersion does not match")
            found, is_gone = self._store.delete(
                route.kind, route.namespace, route.name, **options, dry=_dry(request)
            )
        if is_gone and route.kind.name != "Pod":
            return Answer(success(route.kind, route.name, found["metadata"]["uid"]))
        return Answer(found)

    def _delete_collection(self, route: Route, request: Request) -> Answer:
        options = _deletion(request)
        del options["version"]
        listed = self._list(route, request).content
        for found in listed["items"]:
            metadata = found["metadata"]
            place = (route.kind, metadata.get("namespace", ""), metadata["name"])
            if self._store.has(*place):  # it may have gone with one before
                self._store.delete(*place, **options, dry=_dry(request))
        return Answer(listed)

    def _log(self, route: Route, request: Request) -> Answer:
        if route.kind.plural != "pods" or request.method != "GET":
            raise ApiFault(404, "the server could not find the requested resource")
        place = (route.kind, route.namespace, route.name)
        pod = self._store.get(*place)
        text = self._logs.whole(pod, request.query)
        if not request.asks("follow"):
            return Answer(text)

        def current() -> Object | None:
            return self._store.get(*place) if self._store.has(*place) else None

        return Answer(self._logs.follow(pod, request.query, current))


def _number(request: Request, name: str) -> int:
    told = request.query.get(name) or "0"
    if not told.isdecimal():
        raise bad_request(f'strconv.ParseInt: parsing "{told}": invalid syntax')
    return int(told)


def _dry(request: Request) -> bool:
    asked = request.query.get("dryRun")
    if asked is None and request.method == "DELETE" and isinstance(request.body, dict):
        asked = "".join(request.body.get("dryRun") or ()) or None
    if asked not in (None, "All"):
        raise bad_request(f'Invalid value: "{asked}": dryRun must be All')
    return asked == "All"


def _deletion(request: Request) -> dict[str, Any]:
    body = request.body if isinstance(request.body, dict) else {}
    conditions = body.get("preconditions") or {}
    policy = request.query.get("propagationPolicy") or body.get("propagationPolicy")
    grace = request.query.get("gracePeriodSeconds", body.get("gracePeriodSeconds"))
    if policy not in (None, "Background", "Foreground", "Orphan"):
        why = f'propagationPolicy: Unsupported value: "{policy}"'
        raise ApiFault(422, f'DeleteOptions.meta.k8s.io "" is invalid: {why}')
    return {
        "uid": conditions.get("uid"),
        "version": conditions.get("resourceVersion"),
        "policy": policy or "Background",
        "grace_s": None if grace is None else int(grace),
    }
