import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from autotuner.bench.base import Target
from autotuner.engines.custom import CustomEngine
from autotuner.engines.sim import SimEngine
from autotuner.node.facts import host_name, served_version


def target(url):
    return Target(url, "me", "/models/tiny", "vllm")


@pytest.fixture
def answering():
    """A server that answers everything with the text that it is given."""
    servers = []

    def serve(text, status=200):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return target(f"http://127.0.0.1:{server.server_port}")

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_host_is_the_machine_s_own_name():
    assert host_name() == socket.gethostname()


def test_a_server_elsewhere_is_asked_for_its_version(answering):
    assert served_version(SimEngine(), answering('{"version": "1.2.3"}')) == "1.2.3"


@pytest.mark.parametrize("text", ["{}", "[]", "1.2.3", '{"version": 3}', '{"version": ""}'])
def test_an_answer_without_a_version_is_none(answering, text):
    assert served_version(SimEngine(), answering(text)) is None


def test_a_server_that_does_not_know_the_path_has_no_version(answering):
    assert served_version(SimEngine(), answering('{"version": "1"}', status=404)) is None


def test_an_engine_without_such_a_path_is_not_asked():
    assert served_version(CustomEngine(), target("http://127.0.0.1:9")) is None
