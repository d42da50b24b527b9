"""The Docker daemon of a node: where it is, and what it says when it cannot be used."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import docker
import requests
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env

from autotuner.launchers.base import LaunchFault
from autotuner.spec.experiment import FailureKind

__all__ = [
    "DAEMON_VARIABLES",
    "LOST",
    "DockerFaultError",
    "connected",
    "daemon_address",
    "failed",
    "said",
    "unreachable",
]

DAEMON_VARIABLES = ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG")
"""What decides which daemon is meant, and as whom; none of them is a secret."""
LOST = (requests.exceptions.RequestException, OSError)
"""What is raised where the daemon does not answer; what it answers is an `APIError`."""
_DEFAULT = "unix:///var/run/docker.sock"
_PORT = 2375
_ANSWER_S = 120.0
_LOCAL_SCHEMES = ("unix", "http+unix")


class DockerFaultError(Exception):
    """A server cannot be started, or has been lost; never leaves this package."""

    def __init__(self, fault: LaunchFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def failed(message: str, evidence: str = "") -> DockerFaultError:
    """A failure that the user can mend on this node, or that another node may not have."""
    return DockerFaultError(LaunchFault(FailureKind.LAUNCH_FAILED, message, evidence))


def daemon_address(daemon: str | None, environment: Mapping[str, str] | None = None) -> str:
    """The daemon's address: the study's, else DOCKER_HOST, else the default socket.

    Raises:
        DockerFaultError: it is not a daemon of this node.
    """
    variables = os.environ if environment is None else environment
    address = daemon or variables.get("DOCKER_HOST") or _DEFAULT
    if not _is_local(address):
        key = "docker.daemon" if daemon else "DOCKER_HOST"
        raise failed(
            f"{key} = {address}: a server is measured on the node that reserved its GPUs, so its "
            f"container must be made by that node's own daemon; name its socket, such as {_DEFAULT}"
        )
    return address


@contextmanager
def connected(daemon: str | None, *, timeout_s: float = _ANSWER_S) -> Iterator[Any]:
    """A client of the node's daemon, which has answered.

    Args:
        daemon: As in `DockerSettings`.
        timeout_s: For each answer.

    Raises:
        DockerFaultError: it cannot be used; the sentence says why.
    """
    address = daemon_address(daemon)
    client = None
    try:
        _probe(address, timeout_s)
        settings = {**kwargs_from_env(), "base_url": address}
        client = docker.DockerClient(**settings, version="auto", timeout=timeout_s)
        client.ping()
    except (DockerException, *LOST) as error:
        if client is not None:
            client.close()
        raise DockerFaultError(unreachable(address, error)) from error
    try:
        yield client
    finally:
        client.close()


def unreachable(address: str, error: Exception) -> LaunchFault:
    """Why the daemon at this address does not answer, and what to do."""
    told = f"{type(error).__name__}: {error}"
    if "PermissionError" in told or "Permission denied" in told:
        why = (
            "this user may not use its socket: add the user that runs Ray to the socket's group "
            "(usually `docker`) and start Ray anew"
        )
    elif "FileNotFoundError" in told or "No such file" in told:
        why = "there is no such socket: start Docker on this node, or set docker.daemon"
    elif "ConnectionRefused" in told or "Connection refused" in told:
        why = "nobody listens there: start Docker on this node, or set docker.daemon"
    else:
        why = "see the evidence, and that Docker is well on this node"
    return LaunchFault(
        FailureKind.LAUNCH_FAILED, f"the Docker daemon at {address} does not answer: {why}", told
    )


def said(error: Exception) -> str:
    """What the daemon said, on one line."""
    text = str(error.explanation or error) if isinstance(error, APIError) else str(error)
    return " ".join(text.split()) or type(error).__name__


def _probe(address: str, timeout_s: float) -> None:
    """Whether anybody listens: a client that finds nobody leaves its socket open.

    Raises:
        OSError: nobody does, or we may not ask.
    """
    parts = urlsplit(address)
    if parts.scheme not in _LOCAL_SCHEMES:
        socket.create_connection((parts.hostname, parts.port or _PORT), timeout_s).close()
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(timeout_s)
        probe.connect(parts.path)


def _is_local(address: str) -> bool:
    """Whether its containers share this node's loopback."""
    parts = urlsplit(address)
    if parts.scheme in _LOCAL_SCHEMES:
        return True
    if parts.scheme not in ("tcp", "http", "https"):
        return False
    if parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
