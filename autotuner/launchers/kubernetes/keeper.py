"""Keeps one server in a cluster: ``python -m autotuner.launchers.kubernetes.keeper FOLDER``.

Makes the objects of the order in FOLDER, copies the server's log to standard output, renews its
sign of life, and ends with the server's exit status, 125 where there was none to be had. Nothing of
it is left in the cluster then, unless the state says otherwise. See `autotuner.launchers.kept`.
"""

from __future__ import annotations

import math
import signal
import sys
import tempfile
import threading
from collections import deque
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from autotuner.kubernetes_api.cluster import Cluster
from autotuner.kubernetes_api.connection import Access, connected
from autotuner.kubernetes_api.faults import KubernetesError
from autotuner.kubernetes_api.kinds import NODE
from autotuner.kubernetes_api.ownership import remove_left_behind, remove_of_lease, renew
from autotuner.kubernetes_api.pod_log import PodLog
from autotuner.launchers.base import LaunchFault
from autotuner.launchers.kept import KeeperFiles, KeeperState
from autotuner.launchers.kubernetes import manifests, ome_manifests
from autotuner.launchers.kubernetes.bringing_up import LaunchFaultError, bring_up
from autotuner.launchers.kubernetes.pod_state import Ended, server_status, started
from autotuner.launchers.kubernetes.removal import KINDS
from autotuner.launchers.kubernetes.sight import Object, Seen, Sight
from autotuner.spec.experiment import FailureKind

__all__ = ["Keeper", "main"]

NO_STATUS = 125
_CONTAINERS = {"pods": manifests.CONTAINER, "ome": ome_manifests.CONTAINER}
_POLL_S = 0.5
_RENEW_S = 30.0
_REMOVAL_S = 22.0
"""The supervisor waits half a minute beyond the grace period."""
_REMOVAL_ANSWER_S = 8.0
_LAST_WORDS_S = 10.0
_PREVIOUS_LINES = 200
_GPU_LABEL = "nvidia.com/gpu.product"


class Keeper:
    """One server from before its first object to after its last."""

    def __init__(self, files: KeeperFiles) -> None:
        self._files = files
        self._order = files.read_order()
        self._container = _CONTAINERS[self._order["launcher"]]
        self._kinds = KINDS[self._order["launcher"]]
        self._access = Access(**self._order["access"])
        self._state = KeeperState()
        self._told = False
        self._made = False
        """Whether there may be objects."""
        self._log: PodLog | None = None
        self._logged: str | None = None
        """The pod whose log is copied."""
        self._warned: set[str] = set()

    def run(self) -> int:
        """Bring the server up, keep it, take it down; its exit status."""
        signal.signal(signal.SIGTERM, self._on_signal)
        status = NO_STATUS
        try:
            with connected(self._access, give_up=lambda: self._told) as cluster:
                status = self._keep(cluster)
        except LaunchFaultError as error:
            self._fail(error.fault)
        except KubernetesError as error:
            if not self._told:
                self._fail(LaunchFault(FailureKind.LAUNCH_FAILED, str(error)))
        if self._made and not self._state.gone and not self._take_down(1):
            return status
        self._note(gone=True)
        return status

    def _keep(self, cluster: Cluster) -> int:
        self._clear_up(cluster)
        if self._told:
            return NO_STATUS
        self._made = True
        bring_up(cluster, self._order, lambda: self._told, _tell)
        over = threading.Event()
        renewal = threading.Thread(target=self._renew, args=(cluster, over), daemon=True)
        renewal.start()
        try:
            with Sight(cluster, self._order, self._container) as sight:
                return self._watch(cluster, sight)
        finally:
            over.set()
            if self._log is not None:
                self._log.close()
            renewal.join(_POLL_S)

    def _watch(self, cluster: Cluster, sight: Sight) -> int:
        """Look until the server has ended or is to; raises LaunchFaultError where it is lost."""
        while not self._told:
            seen = sight.look()
            self._warn(sight)
            self._follow(cluster, seen)
            if seen.end is not None:
                return self._ended(cluster, seen)
            if seen.fault is not None:
                raise LaunchFaultError(seen.fault)
            sight.wait(_POLL_S)
        grace_s = self._files.read_stop_s()
        # Where nobody waits for an end in order, others do for the devices.
        self._take_down(1 if grace_s is None else max(1, math.ceil(grace_s)))
        sight.wait(_POLL_S)
        code = sight.exit_code()
        return NO_STATUS if code is None else code

    def _follow(self, cluster: Cluster, seen: Seen) -> None:
        """Pass on what there is to know of a server that runs."""
        pod = seen.pod
        if pod is None or not started(pod, self._container):
            return
        uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
        if self._logged != uid:
            if self._log is not None:
                self._log.close()
            self._logged = uid
            self._log = PodLog(cluster, name, self._container, _print)
            self._note(facts=self._facts(cluster, pod))
        if seen.url is not None:
            self._note(url=seen.url, facts=self._facts(cluster, pod))

    def _ended(self, cluster: Cluster, seen: Seen) -> int:
        assert seen.end is not None  # noqa: S101 - for mypy
        if self._log is not None:
            # The log of one that runs again has no end.
            self._log.join(_POLL_S if seen.end.restarted else _LAST_WORDS_S)
        if seen.end.restarted and seen.pod is not None:
            self._tell_previous(cluster, seen.pod)
        if (fault := _fault(seen.end)) is not None:
            self._fail(fault)
        return NO_STATUS if seen.end.exit_code is None else seen.end.exit_code

    def _tell_previous(self, cluster: Cluster, pod: Object) -> None:
        """The end of what the server said before it was started anew."""
        try:
            text = cluster.log_tail(
                pod["metadata"]["name"], self._container, lines=_PREVIOUS_LINES, previous=True
            )
        except KubernetesError:
            return
        lines = text.splitlines()
        if lines and lines[-1].encode() in _printed:
            return  # it was copied in time
        _tell("the last that the server said before Kubernetes started it anew:")
        for line in lines:
            _print(line.encode())

    def _facts(self, cluster: Cluster, pod: Object) -> dict[str, object]:
        status, node = server_status(pod, self._container), pod["spec"].get("nodeName")
        found = {
            "image": self._order["image"] or status.get("image"),
            "image_id": str(status.get("imageID") or "").rpartition("://")[2] or None,
            "server_node": node,
        }
        if self._order["gpus"] and node:
            try:
                labels = cluster.get(NODE, node)["metadata"].get("labels") or {}
            except KubernetesError:  # not everybody may read nodes
                labels = {}
            found["gpu_model"] = labels.get(_GPU_LABEL)
        return {name: value for name, value in found.items() if value}

    def _take_down(self, grace_s: int) -> bool:
        """Remove everything; whether nothing is left."""
        try:
            with connected(self._access, patience_s=_REMOVAL_ANSWER_S) as cluster:
                remove_of_lease(
                    cluster,
                    self._order["token"],
                    self._kinds,
                    grace_s=grace_s,
                    timeout_s=grace_s + _REMOVAL_S,
                )
                self._note(gone=True)
                self._clear_up(cluster)  # of the dead, what only began to go before the start
        except (KubernetesError, TimeoutError) as error:
            _tell(f"something may be left in the cluster: {error}")
            return False
        return True

    def _clear_up(self, cluster: Cluster) -> None:
        """What dead attempts of any node have left."""
        try:
            for name in remove_left_behind(cluster, self._kinds):
                _tell(f"removed {name}, which a dead attempt had left behind")
        except KubernetesError as error:
            _tell(f"objects of dead attempts may be left: {error}")

    def _renew(self, cluster: Cluster, over: threading.Event) -> None:
        while not over.wait(_RENEW_S):
            try:
                renew(cluster, self._order["name"])
            except KubernetesError as error:
                if not over.is_set():
                    _tell(f"the sign of life could not be renewed: {error}")

    def _warn(self, sight: Sight) -> None:
        """Copy the cluster's warnings to the log, once each."""
        for event in sight.events:
            line = f"{event.get('reason')}: {' '.join(str(event.get('message')).split())}"
            if line not in self._warned:
                self._warned.add(line)
                _tell(f"Kubernetes warns: {line}")

    def _fail(self, fault: LaunchFault) -> None:
        _tell(fault.message)
        self._note(fault=fault)

    def _note(self, **changes: Any) -> None:
        changed = replace(self._state, **changes)
        if changed != self._state:
            self._state = changed
            self._files.write_state(changed)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._told = True


def _fault(end: Ended) -> LaunchFault | None:
    return None if end.kind is None else LaunchFault(end.kind, end.message)


_printing = threading.Lock()
_printed: deque[bytes] = deque(maxlen=_PREVIOUS_LINES)


def _print(line: bytes) -> None:
    with _printing:
        _printed.append(line)
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()


def _tell(line: str) -> None:
    """One line in the server's log."""
    _print(f"[autotuner] {line}".encode())


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    tempfile.tempdir = str(folder)  # a client's key goes there, and with it
    return Keeper(KeeperFiles(folder)).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
