"""Servers that live outside our process tree, each with a keeper inside it.

A container is a child of its daemon and a pod of its node: neither ends with us. So a program of
ours, the keeper, runs under the supervisor as a plain server would. It brings the server up,
copies its log to standard output, says how it ended, and takes it down on SIGTERM, which the
supervisor sends also when whoever wanted the server is dead.

Between the two sides, in the attempt's folder:

* ``keeper.order.json``: what to start. Holds secrets, so that only its owner can read it.
* ``keeper.state.json``: what the keeper knows, see `KeeperState`.
* ``keeper.stop.json``: how long the server may take to end; without it, nobody waits for its end.
* ``keeper.will.json``: the command that takes the server down where the keeper could not,
  see `autotuner.supervision.wills`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import autotuner.version
from autotuner.errors import LaunchError
from autotuner.launchers.base import LaunchFault, Server
from autotuner.spec.experiment import FailureKind
from autotuner.supervision.environment import LEASE_VARIABLE, clean_environment
from autotuner.supervision.process import ProcessExit, SupervisedProcess
from autotuner.supervision.wills import Will

__all__ = ["KeeperFiles", "KeeperState", "KeptServer", "keeper_environment"]

_HURRIED_S = 2.0
_CLEARING_S = 30.0
"""Beyond the grace period: what the keeper may take to see the server gone."""


@dataclass(frozen=True, slots=True)
class KeeperState:
    """What a keeper knows of its server; written whenever it changes."""

    url: str | None = None
    pid: int | None = None
    """Of the server's first process, where it can be seen from the node."""
    fault: LaunchFault | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    gone: bool = False
    """The server has ended and nothing is left of it."""


@dataclass(frozen=True, slots=True)
class KeeperFiles:
    """The files between a keeper and whoever wants the server."""

    folder: Path

    @property
    def order_path(self) -> Path:
        return self.folder / "keeper.order.json"

    def write_order(self, order: Mapping[str, Any]) -> None:
        handle = os.open(self.order_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump(order, file)

    def read_order(self) -> dict[str, Any]:
        order = json.loads(self.order_path.read_text())
        if not isinstance(order, dict):
            raise TypeError(f"{self.order_path} holds no order")
        return order

    def write_state(self, state: KeeperState) -> None:
        _write(self.folder / "keeper.state.json", asdict(state))

    def read_state(self) -> KeeperState:
        """What was written last; an empty state before that."""
        content = _read(self.folder / "keeper.state.json")
        if (fault := content.get("fault")) is not None:
            content["fault"] = LaunchFault(**{**fault, "kind": FailureKind(fault["kind"])})
        return KeeperState(**content)

    def write_stop(self, grace_s: float) -> None:
        _write(self.folder / "keeper.stop.json", {"grace_s": grace_s})

    def read_stop_s(self) -> float | None:
        """For how long the server may end in order; None where nobody waits for that."""
        return _read(self.folder / "keeper.stop.json").get("grace_s")


class KeptServer(Server):
    """A server behind a keeper.

    Args:
        module: The keeper: ``python -m MODULE FOLDER``. It ends with the server, with its exit
            status, or 125 where the server could not be started.
        order: What the keeper reads from ``keeper.order.json``.
        will: Command that takes the server down, whatever state it is in; its success means that
            nothing is left. It may find nothing.

    Raises:
        LaunchError: the keeper cannot be started.
    """

    def __init__(
        self, module: str, order: Mapping[str, Any], folder: Path, will: Will, *, stop_s: float
    ) -> None:
        self._files = KeeperFiles(folder)
        self._will = will
        self._stop_s = stop_s
        self._files.write_order(order)
        will.write(folder / "keeper.will.json")  # before there is anything to take down
        self._keeper = SupervisedProcess(
            [sys.executable, "-m", module, str(folder)],
            environment=keeper_environment(will.token),
            log_path=folder / "server.log",
            grace_s=stop_s + _CLEARING_S,
            orphan_grace_s=_CLEARING_S,
            cwd=folder,
        )

    @property
    def url(self) -> str | None:
        return self._files.read_state().url

    @property
    def exit(self) -> ProcessExit | None:
        return self._keeper.exit

    @property
    def fault(self) -> LaunchFault | None:
        return self._files.read_state().fault

    @property
    def pid(self) -> int | None:
        return self._files.read_state().pid

    @property
    def facts(self) -> Mapping[str, object]:
        return self._files.read_state().facts

    def log_tail(self, max_bytes: int = 64_000) -> str:
        return self._keeper.log_tail(max_bytes)

    def stop(self, *, hurry: bool = False) -> ProcessExit:
        """As in `Server`.

        Raises:
            LaunchError: the server could not be taken down.
        """
        self._files.write_stop(min(self._stop_s, _HURRIED_S) if hurry else self._stop_s)
        ended = self._keeper.stop()
        if not self._files.read_state().gone and (problem := self._will.carry_out()) is not None:
            raise LaunchError(f"the server could not be taken down: {problem}")
        return ended


def keeper_environment(token: str) -> dict[str, str]:
    """The node's environment, with which a Python finds this package wherever it was put."""
    home = str(Path(autotuner.version.__file__).parent.parent)
    return clean_environment(add={"PYTHONPATH": home, LEASE_VARIABLE: token})


def _write(path: Path, content: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
