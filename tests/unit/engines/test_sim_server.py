import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from autotuner.engines.sim_server import build_parser, main

AT_ONCE = ["--time-scale", "0"]
PATIENCE_S = 60


class Server:
    """A simulated server in a process of its own."""

    def __init__(self, *flags):
        argv = [sys.executable, "-m", "autotuner.engines.sim_server", "--model", "/models/m"]
        self.process = subprocess.Popen(
            [*argv, "--served-model-name", "mine", "--port", "0", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines = []
        self.port = 0

    def wait_until_ready(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if "ready on" in line:
                self.port = int(line.rsplit(":", 1)[1])
                return self
        pytest.fail(f"not ready: {self.process.stderr.read()}")

    def ask(self, method, path, body=None, timeout_s=PATIENCE_S):
        """Status and body of one exchange."""
        with self.connection(timeout_s) as connection:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, response.read().decode()

    def complete(self, **changes):
        body = {"model": "mine", "messages": [{"role": "user", "content": "Hello there"}]}
        body |= {"max_tokens": 5, "ignore_eos": True}
        status, text = self.ask("POST", "/v1/chat/completions", {**body, **changes})
        return status, json.loads(text)

    def events(self, path="/v1/chat/completions", **changes):
        """Events of one stream, without the last one's mark."""
        body = {"model": "mine", "messages": [{"role": "user", "content": "Hello there"}]}
        body |= {"max_tokens": 5, "ignore_eos": True, "stream": True}
        _, text = self.ask("POST", path, {**body, **changes})
        *events, last = [line[6:] for line in text.splitlines() if line]
        assert last == "[DONE]"
        return [json.loads(event) for event in events]

    @contextlib.contextmanager
    def connection(self, timeout_s=PATIENCE_S):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            yield connection
        finally:
            connection.close()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def launch():
    servers = []

    def start(*flags):
        servers.append(Server(*flags))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


@pytest.fixture
def serve(launch):
    return lambda *flags: launch(*AT_ONCE, *flags).wait_until_ready()


def test_a_ready_server_is_healthy_and_names_its_model(serve):
    server = serve()
    assert server.ask("GET", "/health")[0] == 200
    (model,) = json.loads(server.ask("GET", "/v1/models")[1])["data"]
    assert (model["id"], model["root"]) == ("mine", "/models/m")


def test_a_stream_has_one_event_per_token_and_the_counts_at_the_end(serve):
    *tokens, counts = serve().events(stream_options={"include_usage": True})
    assert len(tokens) == 5
    assert all(event["choices"][0]["delta"]["content"] for event in tokens)
    reasons = [event["choices"][0]["finish_reason"] for event in tokens]
    assert reasons == [None] * 4 + ["length"]
    assert counts["choices"] == []
    assert counts["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


def test_a_stream_leaves_the_counts_out_unless_asked(serve):
    assert all("usage" not in event for event in serve().events())


def test_a_whole_answer_has_text_and_counts(serve):
    status, answer = serve().complete(max_tokens=3)
    assert status == 200
    assert answer["choices"][0]["message"]["content"].split() == ["token"] * 3
    assert answer["usage"]["completion_tokens"] == 3


def test_text_completions_are_served_too(serve):
    server = serve()
    events = server.events("/v1/completions", prompt="Hello", max_tokens=2)
    assert [event["choices"][0]["text"] for event in events] == [" token", " token"]
    body = {"model": "mine", "prompt": "Hello", "ignore_eos": True}
    answer = json.loads(server.ask("POST", "/v1/completions", body)[1])
    assert answer["usage"]["completion_tokens"] == 16


def test_an_answer_that_may_end_does_so_in_the_same_place_each_time(serve):
    server = serve()
    answers = [server.complete(max_tokens=5000, ignore_eos=False)[1] for _ in range(2)]
    assert answers[0]["usage"] == answers[1]["usage"]
    assert answers[0]["usage"]["completion_tokens"] <= 256
    assert answers[0]["choices"][0]["finish_reason"] == "stop"


def test_an_unknown_model_is_refused_in_the_format_of_openai(serve):
    status, answer = serve().complete(model="another")
    assert status == 404
    assert answer["error"]["param"] == "model"
    assert "another" in answer["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": [{"role": "user", "content": "a"}], "max_tokens": 0},
        {"messages": [{"role": "user", "content": "a"}], "stream_options": 3},
        [],
    ],
)
def test_a_body_that_makes_no_sense_is_a_bad_request(serve, body):
    body = {"model": "mine", **body} if isinstance(body, dict) else body
    status, text = serve().ask("POST", "/v1/chat/completions", body)
    assert status == 400
    assert json.loads(text)["error"]["message"]


def test_an_unknown_path_is_not_found(serve):
    assert serve().ask("GET", "/v1/nothing")[0] == 404


def test_one_connection_carries_several_requests(serve):
    with serve().connection() as connection:
        for _ in range(3):
            connection.request("GET", "/v1/models")
            assert connection.getresponse().read()


def test_many_streams_at_once_each_get_all_their_tokens(serve):
    server = serve("--max-num-seqs", "8")
    body = {"model": "mine", "messages": [{"role": "user", "content": "a"}], "stream": True}
    body |= {"max_tokens": 20, "ignore_eos": True}
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(server.connection()) for _ in range(64)]
        for connection in streams:
            connection.request("POST", "/v1/chat/completions", json.dumps(body))
        texts = [connection.getresponse().read().decode() for connection in streams]
    assert [text.count('"content"') for text in texts] == [20] * 64


def test_a_client_that_hangs_up_makes_room_for_the_next(launch):
    server = launch("--max-num-seqs", "1").wait_until_ready()
    endless = {"model": "mine", "messages": [{"role": "user", "content": "a"}], "stream": True}
    endless |= {"max_tokens": 10**9, "ignore_eos": True}
    with server.connection() as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps(endless))
        assert connection.getresponse().readline()
    assert server.complete(max_tokens=1)[0] == 200


def test_sigterm_ends_the_server_at_once_and_well(serve):
    server = serve()
    server.process.terminate()
    assert server.process.wait(PATIENCE_S) == 0


def test_a_taken_port_ends_the_server_with_words_that_say_so(launch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = launch("--port", str(other.getsockname()[1]))
        assert server.process.wait(PATIENCE_S) == 1
    assert "address already in use" in server.process.stderr.read()


def test_an_unknown_flag_ends_the_server_as_argparse_does(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--model", "m", "--max-num-sequences", "4"])
    assert "error: unrecognized arguments: --max-num-sequences 4" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        ["--max-num-seqs", "0"],
        ["--max-num-seqs", "many"],
        ["--time-scale", "-1"],
        ["--noise-cv", "inf"],
        ["--max-num-seqs", "16", "--max-num-batched-tokens", "8"],
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_the_name_of_its_flag(capsys, flags):
    with pytest.raises(SystemExit, match="2"):
        main(["--model", "m", *flags])
    assert f"error: argument {flags[-2]}: " in capsys.readouterr().err


def test_the_served_name_defaults_to_the_model():
    assert build_parser().parse_args(["--model", "m"]).served_model_name is None


@pytest.mark.parametrize(
    ("flag", "words"),
    [("--fault-crash-at-start", "Traceback"), ("--fault-oom-at-start", "CUDA out of memory.")],
)
def test_a_crash_at_start_is_seen_from_outside(launch, flag, words):
    server = launch(flag)
    assert server.process.wait(PATIENCE_S) == 1
    assert words in server.process.stderr.read()
    assert server.process.stdout.read() == ""


def test_an_exit_code_can_be_asked_for(launch):
    assert launch("--fault-exit-code", "3").process.wait(PATIENCE_S) == 3


def test_a_crash_after_requests_comes_in_the_middle_of_the_next_one(serve):
    server = serve("--fault-crash-after-requests", "1")
    assert len(server.events(max_tokens=10)) == 10
    body = {"model": "mine", "messages": [{"role": "user", "content": "a"}], "stream": True}
    with server.connection() as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps({**body, "max_tokens": 10}))
        with pytest.raises(http.client.IncompleteRead) as cut:
            connection.getresponse().read()
    assert cut.value.partial.count(b'"content"') == 5
    assert server.process.wait(PATIENCE_S) == 139


def test_a_hang_after_requests_leaves_the_server_healthy_and_silent(serve):
    server = serve("--fault-hang-after-requests", "1")
    assert server.complete()[0] == 200
    body = {"model": "mine", "messages": [{"role": "user", "content": "a"}]}
    with pytest.raises(TimeoutError):
        server.ask("POST", "/v1/chat/completions", body, timeout_s=0.3)
    assert server.ask("GET", "/health")[0] == 200


def test_a_stall_after_requests_sends_a_first_token_and_no_other(serve):
    server = serve("--fault-stall-tokens-after-requests", "1")
    assert server.complete()[0] == 200
    body = {"model": "mine", "messages": [{"role": "user", "content": "a"}], "stream": True}
    with server.connection(timeout_s=0.3) as connection:
        # One token would be all of this answer.
        asked = json.dumps({**body, "max_tokens": 1})
        connection.request("POST", "/v1/chat/completions", asked)
        response = connection.getresponse()
        assert response.status == 200
        assert b'"content": " token"' in response.readline()
        assert response.readline() == b"\n"
        with pytest.raises(TimeoutError):
            response.readline()
    assert server.ask("GET", "/health")[0] == 200
    assert server.ask("GET", "/v1/models")[0] == 200


def test_a_server_on_a_full_disk_ends_and_says_so(launch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fault-fill-disk").symlink_to("/dev/full")
    server = launch(*AT_ONCE, "--fault-fill-disk-after-requests", "1").wait_until_ready()
    assert server.complete()[0] == 200
    with pytest.raises(http.client.RemoteDisconnected):
        server.complete()
    assert server.process.wait(PATIENCE_S) == 1
    assert "No space left on device" in server.process.stderr.read()


def test_errors_after_requests_have_the_status_asked_for(serve):
    server = serve("--fault-error-after-requests", "1", "--fault-error-status", "503")
    assert [server.complete()[0] for _ in range(3)] == [200, 503, 503]
    assert server.complete()[1]["error"]["code"] == 503


def test_every_nth_request_can_fail(serve):
    server = serve("--fault-error-every", "2")
    assert [server.complete()[0] for _ in range(4)] == [200, 500, 200, 500]


def test_answers_can_end_early_though_the_end_was_to_be_ignored(serve):
    answer = serve("--fault-early-eos").complete(max_tokens=8, ignore_eos=True)[1]
    assert answer["usage"]["completion_tokens"] == 4
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_a_slow_start_ends_in_a_server_that_serves(serve):
    assert serve("--fault-slow-start-s", "0.2").complete()[0] == 200


def test_a_hanging_start_answers_to_nobody(launch):
    server = launch("--fault-hang-at-start", "--fault-spawn-daemon")
    daemon = int(server.process.stdout.readline().split()[1])
    os.kill(daemon, signal.SIGKILL)
    with pytest.raises(subprocess.TimeoutExpired):
        server.process.wait(0.3)
    server.process.terminate()
    assert server.process.wait(PATIENCE_S) == 0
    assert server.process.stdout.read() == ""


def test_a_server_that_ignores_sigterm_lives_on(serve):
    server = serve("--fault-ignore-sigterm")
    server.process.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        server.process.wait(0.3)
    assert server.ask("GET", "/health")[0] == 200


def test_a_server_of_another_name_refuses_ours(serve):
    server = serve("--fault-wrong-model-name")
    (model,) = json.loads(server.ask("GET", "/v1/models")[1])["data"]
    assert model["id"] != "mine"
    assert server.complete()[0] == 404
    assert server.complete(model=model["id"])[0] == 200


def test_a_daemon_outlives_its_server_in_a_session_of_its_own(serve):
    server = serve("--fault-spawn-daemon")
    daemon = int(server.lines[0].split()[1])
    try:
        server.process.terminate()
        server.process.wait(PATIENCE_S)
        assert os.getsid(daemon) == daemon
    finally:
        os.kill(daemon, signal.SIGKILL)


def test_what_comes_while_so_many_are_in_flight_is_refused(serve):
    server = serve("--fault-refuse-above", "1", "--time-scale", "1")
    assert [server.complete()[0] for _ in range(2)] == [200, 200]
    endless = {"max_tokens": 10**6, "ignore_eos": True, "stream": True}
    body = {"model": "mine", "messages": [{"role": "user", "content": "Hello"}], **endless}
    with server.connection() as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        assert connection.getresponse().readline()  # it is being answered
        assert server.complete()[0] == 500
