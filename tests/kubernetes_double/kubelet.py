"""What becomes of pods: scheduler and kubelet, who do as a script says."""

from __future__ import annotations

import itertools
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes_double import pod_states
from kubernetes_double.answers import ApiFault
from kubernetes_double.containers import Container, NoConfigError, variables_of
from kubernetes_double.double import KubernetesDouble
from kubernetes_double.objects import Object

__all__ = ["Kubelet", "Script"]

_OURS = ("app.kubernetes.io/managed-by", "autotuner")
_NODE = "node-1"
_SCRIPT = re.compile(r"(\w+)(?:\(([\d.]+)\))?")
_CRASH_LOG = "Traceback (most recent call last):\nValueError: this server cannot start\n"
_addresses = itertools.count()
"""Across all clusters of this process, whose pods would else meet at one address."""


@dataclass(frozen=True, slots=True)
class Script:
    """What happens to a server."""

    name: str
    seconds: float = 0.0

    @classmethod
    def of(cls, text: str) -> Script:
        """``slow(2.5)`` and the like."""
        match = _SCRIPT.fullmatch(text)
        assert match is not None, text
        return cls(match[1], float(match[2] or 0.0))


@dataclass(slots=True)
class _Seen:
    script: Script
    address: str
    since: float = field(default_factory=time.monotonic)
    stage: str = "new"
    """``new``, ``creating``, ``started``, ``ready`` or ``stuck``."""
    container: Container | None = None
    ends_by: float | None = None


class Kubelet:
    """Of the pods that this project makes; `step` looks at all of them."""

    def __init__(
        self,
        double: KubernetesDouble,
        script_of: Callable[[Object], Script],
        folder: Path,
        *,
        start_command: bool,
    ) -> None:
        self._double = double
        self._kind = double.kind("pods")
        self._script_of = script_of
        self._folder = folder
        self._starts = start_command
        self._seen: dict[str, _Seen] = {}

    @property
    def pids(self) -> list[int]:
        """Of the containers that run."""
        found = [seen.container for seen in self._seen.values() if seen.container]
        return [container.pid for container in found if container.exit_status is None]

    def address_of(self, pod: Object) -> str:
        return self._seen[pod["metadata"]["uid"]].address

    def step(self) -> None:
        pods = [pod for pod in self._double.objects("pods") if _is_ours(pod)]
        there = {pod["metadata"]["uid"] for pod in pods}
        for uid in self._seen.keys() - there:
            seen = self._seen.pop(uid)
            if seen.container is not None:  # removed without its kubelet's word
                seen.container.kill()
        for pod in pods:
            try:
                self._look_at(pod)
            except ApiFault as fault:
                if fault.code not in (404, 409):  # changed meanwhile: next time
                    raise

    def close(self) -> None:
        for seen in self._seen.values():
            if seen.container is not None:
                seen.container.kill()

    def _look_at(self, pod: Object) -> None:
        metadata = pod["metadata"]
        if metadata["uid"] not in self._seen:
            number = next(_addresses) if self._starts else 0
            address = f"127.77.{number // 250 % 250}.{number % 250 + 1}"
            script = self._script_of(pod)
            self._seen[metadata["uid"]] = _Seen(script, address if self._starts else "127.0.0.1")
        seen = self._seen[metadata["uid"]]
        if "deletionTimestamp" in metadata:
            self._end(pod, seen)
        elif seen.stage == "new":
            self._begin(pod, seen)
        elif seen.stage == "creating" and time.monotonic() >= seen.since + seen.script.seconds:
            self._start(pod, seen)
        elif seen.stage in ("started", "ready"):
            self._go_on(pod, seen)

    def _begin(self, pod: Object, seen: _Seen) -> None:
        name = seen.script.name
        if name == "unschedulable":
            seen.stage = "stuck"
            why = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
            self._say(pod, pod_states.unschedulable(pod, why))
            self._double.add_event(pod, "Warning", "FailedScheduling", why)
            return
        place = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        bound = self._double.patch("pods", *place, {"spec": {"nodeName": _NODE}})
        told = f"Successfully assigned {'/'.join(place)} to {_NODE}"
        self._double.add_event(bound, "Normal", "Scheduled", told)
        seen.stage = "creating"
        self._say(bound, pod_states.waiting(bound, "ContainerCreating"))
        if name in _STUCK:
            seen.stage = "stuck"
            _STUCK[name](self._double, self._say, bound)

    def _start(self, pod: Object, seen: _Seen) -> None:
        seen.stage = "started"
        if self._starts:
            secrets, namespace = self._double.kind("secrets"), pod["metadata"]["namespace"]

            def secret_of(name: str) -> Object | None:
                has = self._double.store.has(secrets, namespace, name)
                return self._double.store.get(secrets, namespace, name) if has else None

            container = pod["spec"]["containers"][0]
            log = self._folder / f"{pod['metadata']['uid']}.log"
            words = [*(container.get("command") or ()), *(container.get("args") or ())]
            try:
                variables = variables_of(container, secret_of)
                seen.container = Container(words, variables, seen.address, log)
            except NoConfigError as error:
                seen.stage = "stuck"
                state = pod_states.waiting(pod, "CreateContainerConfigError", str(error))
                self._say(pod, state)
                return
            except OSError as error:
                seen.stage = "stuck"
                self._say(pod, pod_states.over(pod, 128, "StartError"))
                self._double.add_event(pod, "Warning", "Failed", f"Error: {error}")
                return
            self._double.set_log(namespace, pod["metadata"]["name"], log)
        self._say(pod, pod_states.running(pod, seen.address, ready=False))

    def _go_on(self, pod: Object, seen: _Seen) -> None:
        status = seen.container.exit_status if seen.container is not None else None
        if status is not None:
            seen.stage = "stuck"
            never = pod["spec"].get("restartPolicy") == "Never"
            self._say(pod, (pod_states.over if never else pod_states.crashing)(pod, status))
        elif seen.stage == "started" and seen.script.name != "blocked" and _answers(pod, seen):
            seen.stage = "ready"
            self._say(pod, pod_states.running(pod, seen.address, ready=True))

    def _end(self, pod: Object, seen: _Seen) -> None:
        metadata = pod["metadata"]
        if seen.ends_by is None:
            seen.ends_by = time.monotonic() + metadata["deletionGracePeriodSeconds"]
            if seen.container is not None:
                seen.container.ask_to_end()
        container = seen.container
        if container is not None:
            if container.exit_status is None and time.monotonic() < seen.ends_by:
                return
            container.kill()
        if metadata["deletionGracePeriodSeconds"]:
            self._double.delete("pods", metadata["namespace"], metadata["name"], grace_s=0)

    def _say(self, pod: Object, status: Mapping[str, Any]) -> None:
        place = (pod["metadata"]["namespace"], pod["metadata"]["name"])

        def edit(current: Object) -> Object:
            return {**current, "status": dict(status)}

        self._double.store.change(self._kind, *place, edit, status=True)


Say = Callable[[Object, Mapping[str, Any]], None]


def _image_pull(double: KubernetesDouble, say: Say, pod: Object) -> None:
    image = pod["spec"]["containers"][0]["image"]
    why = f'Failed to pull image "{image}": not found'
    double.add_event(pod, "Warning", "Failed", why)
    say(pod, pod_states.waiting(pod, "ErrImagePull", why))
    double.add_event(pod, "Warning", "Failed", "Error: ErrImagePull")
    back_off = f'Back-off pulling image "{image}"'
    say(pod, pod_states.waiting(pod, "ImagePullBackOff", back_off))


def _crash(exit_status: int, reason: str, log: str) -> Callable[..., None]:
    def crash(double: KubernetesDouble, say: Say, pod: Object) -> None:
        double.set_log(pod["metadata"]["namespace"], pod["metadata"]["name"], log, previous=log)
        if pod["spec"].get("restartPolicy") == "Never":
            say(pod, pod_states.over(pod, exit_status, reason))
            return
        say(pod, pod_states.crashing(pod, exit_status, reason))
        double.add_event(pod, "Warning", "BackOff", "Back-off restarting failed container")

    return crash


_STUCK: Mapping[str, Callable[[KubernetesDouble, Say, Object], None]] = {
    "never": lambda double, say, pod: None,
    "image_pull": _image_pull,
    "crash_loop": _crash(1, "Error", _CRASH_LOG),
    "oom_killed": _crash(137, "OOMKilled", "loading the model\n"),
}


def _is_ours(pod: Object) -> bool:
    labels: Mapping[str, str] = pod["metadata"].get("labels") or {}
    return labels.get(_OURS[0]) == _OURS[1]


def _answers(pod: Object, seen: _Seen) -> bool:
    """Whether its readiness probe succeeds; without one, whatever runs is ready."""
    container = pod["spec"]["containers"][0]
    probe = container.get("readinessProbe") or {}
    target = probe.get("tcpSocket") or probe.get("httpGet")
    if target is None or seen.container is None:
        return True
    ports = {port.get("name"): port["containerPort"] for port in container.get("ports") or ()}
    port = ports.get(target["port"], target["port"])
    try:
        socket.create_connection((seen.address, int(port)), timeout=1.0).close()
    except OSError:
        return False
    return True
