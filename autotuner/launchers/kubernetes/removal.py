"""Removing an attempt's objects by their labels: ``python -m … TOKEN (pods|ome) [access…]``.

Success means that the namespace holds nothing of the attempt with that lease. Standard output is
empty; the last line of standard error says why something may be left.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from autotuner.errors import LaunchError
from autotuner.kubernetes_api.connection import ACCESS_VARIABLES, Access, connected
from autotuner.kubernetes_api.faults import KubernetesError, UnreachableError
from autotuner.kubernetes_api.kinds import Kind
from autotuner.kubernetes_api.ownership import OME_KINDS, POD_KINDS, remove_of_lease
from autotuner.launchers.kept import keeper_environment
from autotuner.spec.launching import PodSettings
from autotuner.supervision.wills import Will

__all__ = ["KINDS", "access_of", "main", "removal_will"]

KINDS: Mapping[str, Sequence[Kind]] = {"pods": POD_KINDS, "ome": OME_KINDS}
"""What an attempt is made of, by the word for its launcher."""

_MODULE = "autotuner.launchers.kubernetes.removal"
_PATIENCE_S = 45.0
"""A will is given a minute."""
_ANSWER_S = 10.0
_GRACE_S = 1
"""Nobody waits for an end in order; 0 would forget a pod that may still run."""
_PASSED_ON = (*ACCESS_VARIABLES, "TMPDIR", "PYTHONPATH")
_ACCESS = ("kubeconfig", "context", "namespace")


def access_of(settings: PodSettings) -> dict[str, str | None]:
    """Which cluster and namespace the settings mean now, as plain values.

    Spelled out: another current context would let a removal succeed in another cluster.

    Raises:
        LaunchError: there is no access to be found.
    """
    access = Access(settings.kubeconfig, settings.context, settings.namespace)
    try:
        return asdict(access.pinned())
    except UnreachableError as error:
        raise LaunchError(str(error)) from error


def removal_will(token: str, launcher: str, access: Mapping[str, Any]) -> Will:
    """What removes the objects of an attempt, whoever carries it out.

    Args:
        launcher: A key of `KINDS`.
        access: As `access_of` tells it.
    """
    command = [sys.executable, "-m", _MODULE, token, launcher]
    for name in _ACCESS:
        if access[name] is not None:
            command += [f"--{name}", str(access[name])]
    # Without the mark of the attempt: it takes down what bears it.
    environment = {n: v for n, v in keeper_environment(token).items() if n in _PASSED_ON}
    return Will(tuple(command), token, environment)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="removal")
    parser.add_argument("token")
    parser.add_argument("launcher", choices=KINDS)
    for name in _ACCESS:
        parser.add_argument(f"--{name}")
    options = parser.parse_args(arguments)
    access = Access(options.kubeconfig, options.context, options.namespace)
    try:
        with connected(access, patience_s=_ANSWER_S) as cluster:
            remove_of_lease(
                cluster,
                options.token,
                KINDS[options.launcher],
                grace_s=_GRACE_S,
                timeout_s=_PATIENCE_S,
            )
    except (KubernetesError, TimeoutError) as error:
        print(f"Kubernetes: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
