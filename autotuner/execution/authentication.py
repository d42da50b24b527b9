"""Whether a cluster asks for a token, and whether the driver's is the right one.

Ray leaves it to each process to know, and tells badly where two of them differ. A driver that asks
for a token on a cluster that has none joins, and sees its nodes; but the workers' reports to it
are refused, so that every attempt is lost for no reason that anybody can read. The other way round
it tries for 20 s and says that it could not connect. So the head is asked before Ray is joined.
"""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path

import grpc

from autotuner.errors import ClusterError

__all__ = ["Demand", "mode_for", "token_file"]

_MODE = "RAY_AUTH_MODE"
_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105  the variable's name
_TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"  # noqa: S105
_OFF = "disabled"
_ON = "token"
_ELSEWHERE = ("RAY_USE_TLS", "RAY_ENABLE_K8S_TOKEN_AUTH")
"""With these the question is another one than is asked here; Ray is left to find out."""

_QUESTION = "/ray.rpc.NodeInfoGcsService/CheckAlive"
_ANSWER_S = 5.0


class Demand(Enum):
    """What a head says to a caller."""

    MET = "met"
    """It answers: it asks for no token, or the one that was sent is right."""
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """No answer that can be understood."""


def token_file() -> Path:
    return Path(os.environ.get(_TOKEN_PATH, "~/.ray/auth_token")).expanduser()


def mode_for(address: str) -> str | None:
    """The value of RAY_AUTH_MODE with which a driver has to join a cluster.

    Args:
        address: ``host:port`` of its head.

    Returns:
        ``token`` or ``disabled``; None where the head does not say, or TLS hides it.

    Raises:
        ClusterError: what the head asks for and what this process has or was told do not agree.
    """
    if any(os.environ.get(name, "0").lower() in {"1", "true"} for name in _ELSEWHERE):
        return None
    told = os.environ.get(_MODE, "").lower()
    demand = _ask(address, None)
    if demand is Demand.MET:
        if told == _ON:
            raise ClusterError(
                f"the Ray cluster at {address} runs without authentication, and {_MODE}={_ON} is "
                "set here: its workers would be refused by this driver, and every attempt lost. "
                f"Unset {_MODE} here, or start every node of the cluster with {_MODE}={_ON}"
            )
        return _OFF
    if demand is Demand.UNKNOWN:
        return None
    if told == _OFF:
        raise ClusterError(
            f"the Ray cluster at {address} asks for a token, and {_MODE}={_OFF} is set here. "
            f"Unset it. {_where_tokens_come_from()}"
        )
    _check_token(address)
    return _ON


def _check_token(address: str) -> None:
    token, source = _own_token()
    if not token:
        raise ClusterError(
            f"the Ray cluster at {address} asks for a token, and there is none in {source}. "
            f"{_where_tokens_come_from()}"
        )
    if _ask(address, token) is Demand.REFUSED:
        raise ClusterError(
            f"the Ray cluster at {address} refuses the token in {source}: it is another "
            f"cluster's, or an old one. {_where_tokens_come_from()}"
        )


def _own_token() -> tuple[str, str]:
    """The token that Ray would send, and where it lies; empty where there is none."""
    if token := os.environ.get(_TOKEN, "").strip():
        return token, _TOKEN
    path = token_file()
    try:
        return path.read_text().strip(), str(path)
    except (OSError, UnicodeDecodeError):
        return "", str(path)


def _where_tokens_come_from() -> str:
    return (
        f"Copy the head's token file here with mode 0600, to ~/.ray/auth_token or where "
        f"{_TOKEN_PATH} says"
    )


def _ask(address: str, token: str | None) -> Demand:
    """A question that changes nothing, put as Ray's own processes put it."""
    sent = [("authorization", f"Bearer {token}")] if token else None
    # As in Ray: nodes of a cluster do not meet through a proxy for the web.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(_QUESTION)(b"", metadata=sent, timeout=_ANSWER_S)
        except grpc.RpcError as error:
            refused = error.code() is grpc.StatusCode.UNAUTHENTICATED
            return Demand.REFUSED if refused else Demand.UNKNOWN
    return Demand.MET
