"""Runs an API server of custom resources with an etcd of its own until it is interrupted.

    python serve.py --binaries FOLDER --crds FOLDER --state FOLDER

The state folder gets a ``kubeconfig``, at whose appearance the server is ready.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

PATIENCE_S = 120.0
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binaries", type=Path, required=True, help="where build.sh left them")
    parser.add_argument("--crds", type=Path, required=True, help="*.yaml of definitions")
    parser.add_argument("--state", type=Path, required=True, help="made if it is not there")
    options = parser.parse_args()
    # Both end the program by way of its context managers.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    state: Path = options.state.absolute()
    state.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(KeyboardInterrupt), _running(options.binaries, state) as server:
        for path in sorted(options.crds.glob("*.yaml")):
            server.install(path)
        server.write_kubeconfig(state / "kubeconfig")
        print(state / "kubeconfig", flush=True)
        signal.pause()
    (state / "kubeconfig").unlink(missing_ok=True)


class Server:
    """The API server, as its administrator sees it."""

    def __init__(self, url: str, authority: Path) -> None:
        self.url = url
        self.authority = authority
        self._context: ssl.SSLContext | None = None

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Raises OSError."""
        if self._context is None:
            self._context = ssl.create_default_context(cafile=self.authority)
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - the server started here
            self.url + path, data, {"Content-Type": "application/json"}, method=method
        )
        opened = urllib.request.urlopen(request, context=self._context)  # noqa: S310
        with opened as answer:
            content = answer.read()
        return json.loads(content) if content.startswith(b"{") else content

    def is_ready(self) -> bool:
        # Its informers wait for a core API that there is not.
        with contextlib.suppress(OSError):
            return bool(self.request("GET", "/readyz?exclude=informer-sync"))
        return False

    def install(self, path: Path) -> None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        with path.open("rb") as content:
            definition = yaml.load(content, loader)  # noqa: S506 - either loader is a safe one
        name = definition["metadata"]["name"]
        try:
            self.request("POST", CRDS, definition)
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 409:
                    raise SystemExit(f"{path}: {error.read().decode()}") from error
        _wait_for(f"{name} to be established", lambda: self._is_established(name))

    def _is_established(self, name: str) -> bool:
        found = self.request("GET", f"{CRDS}/{name}")
        conditions = found.get("status", {}).get("conditions") or ()
        return any(
            each["type"] == "Established" and each["status"] == "True" for each in conditions
        )

    def write_kubeconfig(self, path: Path) -> None:
        cluster = {"server": self.url, "certificate-authority": str(self.authority)}
        context = {"cluster": "crds", "user": "anyone", "namespace": "default"}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "crds", "cluster": cluster}],
            "users": [{"name": "anyone", "user": {}}],
            "contexts": [{"name": "crds", "context": context}],
            "current-context": "crds",
        }
        hidden = path.with_suffix(".part")
        hidden.write_text(yaml.safe_dump(content))
        hidden.rename(path)


@contextlib.contextmanager
def _running(binaries: Path, state: Path) -> Iterator[Server]:
    etcd, peer, port = _free_ports(3)
    store = f"http://127.0.0.1:{etcd}"
    nowhere = state / "nowhere"
    nowhere.write_text(yaml.safe_dump(_NOWHERE))
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            _process(
                state / "etcd.log",
                str(binaries / "etcd"),
                f"--data-dir={state / 'etcd'}",
                f"--listen-client-urls={store}",
                f"--advertise-client-urls={store}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-cluster=default=http://127.0.0.1:{peer}",
                "--max-request-bytes=8388608",
            )
        )
        # The etcd answers within a second, but a server that comes before it waits for long.
        _wait_for("etcd", lambda: _is_open(etcd))
        served = stack.enter_context(
            _process(
                state / "crdserver.log",
                str(binaries / "crdserver"),
                f"--etcd-servers={store}",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--cert-dir={state / 'certs'}",
                f"--kubeconfig={nowhere}",
            )
        )
        server = Server(f"https://127.0.0.1:{port}", state / "certs" / "apiserver.crt")
        _wait_for("the API server", lambda: served.poll() is not None or server.is_ready())
        if served.returncode is not None:
            raise SystemExit((state / "crdserver.log").read_text()[-2000:])
        yield server


_NOWHERE = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "users": [{"name": "none", "user": {}}],
    "current-context": "none",
}


@contextlib.contextmanager
def _process(log: Path, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    # Away from the terminal's signals: etcd must not end before the server that asks it.
    with (
        log.open("ab") as output,
        subprocess.Popen(argv, stdout=output, stderr=output, start_new_session=True) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


def _wait_for(what: str, done: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {PATIENCE_S:.0f} s for {what}")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
