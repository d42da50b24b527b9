"""Keeps one container: ``python -m autotuner.launchers.docker.keeper FOLDER``.

Creates and starts the container of the order in FOLDER, copies its log to standard output, and
ends with its exit status, 125 where there was none to be had. Nothing of the container is left
then, unless the state says otherwise. See `autotuner.launchers.kept`.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from docker.errors import APIError, NotFound

from autotuner.launchers.base import LaunchFault
from autotuner.launchers.docker.daemon import (
    LOST,
    DockerFaultError,
    connected,
    daemon_address,
    said,
    unreachable,
)
from autotuner.launchers.docker.faults import fault_at_start, fault_of_end
from autotuner.launchers.docker.images import image_facts, obtain_image
from autotuner.launchers.docker.log_copy import LogCopy
from autotuner.launchers.docker.removal import remove_left_behind, remove_of_lease
from autotuner.launchers.kept import KeeperFiles, KeeperState
from autotuner.spec.experiment import FailureKind

__all__ = ["Keeper", "main"]

NO_STATUS = 125
_PATIENCE_S = 60.0
"""With a daemon that does not answer while the server runs: it may be starting anew."""
_REMOVAL_S = 20.0
_LOOK_S = 2.0
_POLL_S = 0.2
_LAST_WORDS_S = 5.0


class _ToldToEnd(Exception):  # noqa: N818 - no error
    """Raised by the signal where nothing exists yet that it could tear in two."""


class Keeper:
    """One container from before it is created to after it is removed."""

    def __init__(self, files: KeeperFiles) -> None:
        self._files = files
        self._order = files.read_order()
        self._state = KeeperState()
        self._told = False
        self._interruptible = False
        self._made = False
        """Whether there may be a container."""
        self._container: str | None = None

    def run(self) -> int:
        """Bring the server up, keep it, take it down; its exit status."""
        signal.signal(signal.SIGTERM, self._on_signal)
        status = NO_STATUS
        try:
            with connected(self._order["daemon"]) as client:
                try:
                    status = self._keep(client)
                except DockerFaultError as error:
                    self._fail(
                        error.fault
                    )  # before the removal, which may fail for the same reason
                finally:
                    if self._made:
                        remove_of_lease(client, self._order["token"], _REMOVAL_S)
        except DockerFaultError as error:
            self._fail(error.fault)  # there was no daemon to make anything
        except _ToldToEnd:
            pass
        except (APIError, TimeoutError, *LOST) as error:
            _tell(f"the container may be left: {said(error)}")
            self._kill()
            return status
        self._note(gone=True)
        return status

    def _keep(self, client: Any) -> int:
        self._prepare(client)
        if self._told:
            return NO_STATUS
        container = self._start(client)
        log = LogCopy(client, container)
        state = self._watch(client, container, log)
        if state is None:
            self._stop(client, container)
            log.join(_LAST_WORDS_S)
            return int(client.api.wait(container, timeout=_REMOVAL_S)["StatusCode"])
        if (fault := fault_of_end(state, self._order, log.end)) is not None:
            self._fail(fault)
        return int(state["ExitCode"])

    def _prepare(self, client: Any) -> None:
        """What comes before a container: room, and its image."""
        with self._may_be_interrupted():
            try:
                for name in remove_left_behind(client):
                    _tell(f"removed {name}, which a dead attempt had left behind")
            except (APIError, *LOST) as error:
                _tell(f"containers of dead attempts may be left: {said(error)}")
            image = obtain_image(client, self._order["image"], self._order["pull"], _tell)
        self._note(facts=image_facts(self._order["image"], image))

    def _start(self, client: Any) -> str:
        """Create the container and start it, or leave none."""
        config = self._order["config"]
        self._made = True
        try:
            try:
                container = self._create_and_start(client, config)
            except APIError as error:
                if "docker-init" not in said(error):
                    raise
                _tell("this node's Docker has no docker-init: the server gets no init process")
                remove_of_lease(client, self._order["token"], _REMOVAL_S)
                config["HostConfig"]["Init"] = False
                container = self._create_and_start(client, config)
        except (APIError, *LOST) as error:
            raise DockerFaultError(fault_at_start(error, self._order)) from error
        return container

    def _create_and_start(self, client: Any, config: dict[str, Any]) -> str:
        made = client.api.create_container_from_config(config, self._order["name"])
        self._container = container = str(made["Id"])
        client.api.start(container)
        found = client.api.inspect_container(container)
        self._note(url=self._url(found), pid=_visible_pid(found))
        return container

    def _url(self, found: dict[str, Any]) -> str | None:
        if self._order["url"] is not None:
            return str(self._order["url"])
        ports = found["NetworkSettings"]["Ports"].get(f"{self._order['port']}/tcp")
        if not ports:  # it has ended already
            return None
        return f"http://{ports[0]['HostIp']}:{ports[0]['HostPort']}"

    def _watch(self, client: Any, container: str, log: LogCopy) -> dict[str, Any] | None:
        """The ``State`` that the server has ended in by itself; None where it is to end.

        Raises:
            DockerFaultError: the daemon is gone, or the container without a word.
        """
        heard = looked = time.monotonic()
        lost = False
        while not self._told:
            log.join(_POLL_S)
            if log.running and time.monotonic() < looked + _LOOK_S:
                continue
            looked = time.monotonic()
            try:
                state: dict[str, Any] = client.api.inspect_container(container)["State"]
            except NotFound as error:
                raise DockerFaultError(_removed(self._order["name"])) from error
            except (APIError, *LOST) as error:
                if time.monotonic() > heard + _PATIENCE_S:
                    raise DockerFaultError(self._lost(error)) from error
                lost = True
                time.sleep(_POLL_S)
                continue
            heard = time.monotonic()
            if not log.running and (state["Running"] or lost):
                log.go_on()  # the connection had ended, and not the log
                lost = False
            if not state["Running"]:
                log.join(_LAST_WORDS_S)
                return state
        return None

    def _stop(self, client: Any, container: str) -> None:
        grace_s = self._files.read_stop_s()
        try:
            if grace_s is None:  # nobody waits for an end in order, others do for the devices
                client.api.kill(container)
            else:
                client.api.stop(container, timeout=math.ceil(grace_s))
        except APIError as error:  # most likely it has just ended
            _tell(f"while it was stopped: {said(error)}")

    def _kill(self) -> None:
        """What can be done without a daemon, by whom may: free the devices."""
        pid, container = self._state.pid, self._container
        if pid is None or container is None:
            return
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(pid)
            try:
                if _is_of(pid, container):  # asked once the process is held: numbers are reused
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    _tell("killed its first process, and with it all others")
            finally:
                os.close(handle)

    def _fail(self, fault: LaunchFault) -> None:
        _tell(fault.message)
        self._note(fault=fault)

    def _lost(self, error: Exception) -> LaunchFault:
        known = unreachable(daemon_address(self._order["daemon"]), error)
        message = f"while the server ran, {known.message}"
        return replace(known, message=message)

    def _note(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
        self._files.write_state(self._state)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._told = True
        if self._interruptible:
            raise _ToldToEnd

    @contextmanager
    def _may_be_interrupted(self) -> Iterator[None]:
        self._interruptible = True
        try:
            if self._told:
                raise _ToldToEnd
            yield
        finally:
            self._interruptible = False


def _removed(name: str) -> LaunchFault:
    message = f"the container {name} was removed while the server ran, by none of ours"
    return LaunchFault(FailureKind.SERVER_CRASHED, message)


def _visible_pid(found: dict[str, Any]) -> int | None:
    """The process id of the container's first process, where it means the same to us."""
    pid = int(found["State"]["Pid"])
    return pid if pid and _is_of(pid, found["Id"]) else None


def _is_of(pid: int, container: str) -> bool:
    """Whether a process of this node is in the container, by the name of its cgroup."""
    try:
        return container in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


def _tell(line: str) -> None:
    """One line in the server's log."""
    print(f"[autotuner] {line}", flush=True)


def main(arguments: list[str]) -> int:
    return Keeper(KeeperFiles(Path(arguments[0]))).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
