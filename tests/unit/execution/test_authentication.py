"""A driver is told before it joins what its cluster asks of it; the head is a real gRPC server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from autotuner.errors import ClusterError
from autotuner.execution.authentication import mode_for

TOKEN = "f00dfeedf00dfeed"  # noqa: S105


class _Head(grpc.GenericRpcHandler):
    """Answers the one question, as Ray's head does."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def service(self, details: Any) -> Any:
        if details.method != "/ray.rpc.NodeInfoGcsService/CheckAlive":
            return None
        sent = dict(details.invocation_metadata).get("authorization")

        def answer(request: bytes, context: Any) -> bytes:
            if self._token is not None and sent != f"Bearer {self._token}":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def head(token: str | None) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2), handlers=[_Head(token)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture(autouse=True)
def own_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file that this driver's token lies in; not there yet."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_USE_TLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    return tmp_path / ".ray" / "auth_token"


def test_a_token_that_nobody_asks_for_is_not_asked_of_workers_either(own_token: Path) -> None:
    """Else the driver refuses their reports, and every attempt is lost."""
    own_token.write_text(TOKEN)
    with head(None) as address:
        assert mode_for(address) == "disabled"


def test_the_token_is_sent_where_it_is_asked_for(own_token: Path) -> None:
    own_token.write_text(f"{TOKEN}\n")
    with head(TOKEN) as address:
        assert mode_for(address) == "token"


def test_the_variables_of_ray_go_before_the_file(
    own_token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_token.write_text("another")
    with head(TOKEN) as address:
        (tmp_path / "elsewhere").write_text(TOKEN)
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "elsewhere"))
        assert mode_for(address) == "token"
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/nowhere")
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        assert mode_for(address) == "token"


def test_a_missing_token_is_named_with_the_place_where_it_is_looked_for(own_token: Path) -> None:
    with head(TOKEN) as address, pytest.raises(ClusterError) as caught:
        mode_for(address)
    assert f"the Ray cluster at {address} asks for a token" in str(caught.value)
    assert f"there is none in {own_token}" in str(caught.value)
    assert "Copy the head's token file here with mode 0600, to ~/.ray/auth_token" in str(
        caught.value
    )
    assert "RAY_AUTH_TOKEN_PATH" in str(caught.value)


def test_a_wrong_token_is_named_by_its_place_and_never_shown(own_token: Path) -> None:
    own_token.write_text("deadbeefdeadbeef")
    with head(TOKEN) as address, pytest.raises(ClusterError) as caught:
        mode_for(address)
    assert f"refuses the token in {own_token}" in str(caught.value)
    assert "deadbeef" not in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_what_the_user_has_set_is_not_overridden_but_explained(
    own_token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_token.write_text(TOKEN)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with head(None) as address, pytest.raises(ClusterError, match="Unset RAY_AUTH_MODE here"):
        mode_for(address)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with head(TOKEN) as address, pytest.raises(ClusterError, match="RAY_AUTH_MODE=disabled is set"):
        mode_for(address)


@pytest.mark.parametrize("name", ["RAY_USE_TLS", "RAY_ENABLE_K8S_TOKEN_AUTH"])
def test_where_the_question_cannot_be_put_ray_decides(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    with head(TOKEN) as address:
        assert mode_for(address) is None


def test_an_answer_that_is_none_decides_nothing() -> None:
    server = grpc.server(ThreadPoolExecutor(1))  # knows no method at all
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        assert mode_for(f"127.0.0.1:{port}") is None
    finally:
        server.stop(None).wait()


def test_a_proxy_of_the_web_is_not_asked(own_token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    own_token.write_text(TOKEN)
    with head(TOKEN) as address:
        assert mode_for(address) == "token"
