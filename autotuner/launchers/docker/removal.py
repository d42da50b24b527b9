"""Removing containers by their labels: ``python -m autotuner.launchers.docker.removal TOKEN``.

Success means that the daemon knows no container of the attempt with that lease. Standard output is
empty; the last line of standard error says why something may be left.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from docker.errors import APIError, NotFound

from autotuner.launchers.docker.daemon import LOST, DockerFaultError, connected, said
from autotuner.launchers.docker.labels import LEASE_LABEL, is_left_behind
from autotuner.supervision.lease import lease_root

__all__ = ["remove_left_behind", "remove_of_lease"]

_PATIENCE_S = 45.0
_ANSWER_S = 40.0
_POLL_S = 0.1


def remove_of_lease(client: Any, token: str, timeout_s: float = _PATIENCE_S) -> None:
    """Remove all containers of an attempt, whatever state they are in.

    Raises:
        TimeoutError: something is left.
        APIError, OSError, RequestException: the daemon does not answer, or refuses.
    """
    deadline = time.monotonic() + timeout_s
    while found := _labelled(client, f"{LEASE_LABEL}={token}"):
        for container in found:
            problem = _remove(client, container["Id"])
            if problem is not None and time.monotonic() > deadline:
                raise TimeoutError(f"container {container['Id'][:12]} is left: {problem}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(found)} containers are left")
        time.sleep(_POLL_S)


def remove_left_behind(client: Any) -> list[str]:
    """Remove what dead attempts of this node have left; the names of what was removed.

    Raises:
        APIError, OSError, RequestException: the daemon does not answer, or refuses.
    """
    root = lease_root()
    removed = []
    for container in _labelled(client, LEASE_LABEL):
        if is_left_behind(container["Labels"], root) and _remove(client, container["Id"]) is None:
            removed.append(str(container["Names"][0]).lstrip("/"))
    return removed


def _labelled(client: Any, label: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.api.containers(all=True, filters={"label": label})
    return found


def _remove(client: Any, container: str) -> str | None:
    """Why a container may still be there; None where it is not."""
    try:
        client.api.remove_container(container, force=True, v=True)
    except NotFound:
        return None
    except APIError as error:  # being removed already, or just being started: look again
        return said(error)
    return None


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="removal")
    parser.add_argument("token")
    parser.add_argument("--daemon")
    options = parser.parse_args(arguments)
    try:
        with connected(options.daemon, timeout_s=_ANSWER_S) as client:
            remove_of_lease(client, options.token)
    except DockerFaultError as error:
        print(error.fault.message, file=sys.stderr)
    except (APIError, *LOST) as error:
        print(f"Docker: {said(error)}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
