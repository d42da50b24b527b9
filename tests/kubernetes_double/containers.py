"""The process that a pod's container is, on this machine, at a loopback address of its own."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kubernetes_double.objects import Object

__all__ = ["Container", "NoConfigError", "variables_of"]

SecretOf = Callable[[str], Object | None]
"""Name -> the Secret of the pod's namespace."""

_EVERYWHERE = "0.0.0.0"
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_ENDED_S = 10.0


class NoConfigError(Exception):
    """A container refers to what is not there."""


def variables_of(container: Mapping[str, Any], secret_of: SecretOf) -> dict[str, str]:
    """Its variables with their values; raises NoConfigError."""
    found: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        if reference := source.get("secretRef"):
            content = _secret(reference["name"], secret_of)
            found |= {name: _decoded(value) for name, value in content.items()}
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
        if reference is None:
            found[variable["name"]] = filled_in(variable.get("value", ""), found)
            continue
        content = _secret(reference["name"], secret_of)
        if reference["key"] not in content:
            raise NoConfigError(f"couldn't find key {reference['key']} in Secret")
        found[variable["name"]] = _decoded(content[reference["key"]])
    return found


def _secret(name: str, secret_of: SecretOf) -> Mapping[str, str]:
    content = secret_of(name)
    if content is None:
        raise NoConfigError(f'secret "{name}" not found')
    return content.get("data") or {}


def _decoded(value: str) -> str:
    return base64.b64decode(value).decode()


def filled_in(text: str, variables: Mapping[str, str]) -> str:
    """As Kubernetes does: ``$(NAME)`` where there is such a variable, ``$$`` for one sign."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] is None else variables.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


class Container:
    """A running command.

    Args:
        address: Of the pod; the command binds it where it asks for every address.
        log: Gets what it writes.
    """

    def __init__(
        self, words: Sequence[str], variables: Mapping[str, str], address: str, log: Path
    ) -> None:
        command = [filled_in(word, variables) for word in words]
        command = [address if word == _EVERYWHERE else word for word in command]
        if command[0] in ("python", "python3"):
            command[0] = sys.executable
        own = {name: os.environ[name] for name in _KEPT if name in os.environ}
        with log.open("ab") as written:
            self._process = subprocess.Popen(
                command,
                env={**own, **variables},
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """As a container's: 128 and the signal for one that was killed. None: it runs."""
        if self._process.returncode is None and self._process.poll() is not None:
            self._kill_group()  # what it has left behind ends with it
        status = self._process.returncode
        return status if status is None or status >= 0 else 128 - status

    def ask_to_end(self) -> None:
        if self.exit_status is None:
            self._process.terminate()

    def kill(self) -> None:
        """With all that it has started; returns once it is gone."""
        if self.exit_status is None:
            self._kill_group()
            self._process.wait(_ENDED_S)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
