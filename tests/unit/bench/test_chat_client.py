import json
import socket

import pytest

from autotuner.bench.base import Target
from autotuner.bench.chat_client import ask, prompt_of, served_models

PATIENCE_S = 60.0


def put(target, **changes):
    return ask(target, "Hello", **{"max_tokens": 3, "timeout_s": PATIENCE_S, **changes})


def models(*names):
    return json.dumps({"data": [{"id": name} for name in names]}).encode()


def test_an_answer_has_its_times_and_the_servers_counts(server, target, token, usage):
    server.answer = lambda exchange: exchange.stream(token(), token(), usage(7, 2), "[DONE]")
    answer = put(target)
    assert 0 < answer.ttft_s <= answer.e2e_latency_s
    assert (answer.input_tokens, answer.output_tokens) == (7, 2)


def test_what_is_asked_for_is_sent(server, target, token):
    server.answer = lambda exchange: exchange.stream(token(), "[DONE]")
    put(target, request={"temperature": 0.5, "top_k": 4})
    (exchange,) = server.seen
    body = exchange.body
    assert exchange.request_line == "POST /v1/chat/completions HTTP/1.1"
    assert (body["model"], body["max_tokens"]) == ("mine", 3)
    assert body["messages"] == [{"role": "user", "content": "Hello"}]
    assert (body["stream"], body["ignore_eos"]) == (True, True)
    assert body["stream_options"] == {"include_usage": True}
    assert (body["temperature"], body["top_k"]) == (0.5, 4)


def test_a_key_is_sent_where_there_is_one(server, target, token):
    server.answer = lambda exchange: exchange.stream(token(), "[DONE]")
    put(target)
    put(Target(server.url, "mine", "/models/tokenizer", "vllm", "s3cret"))
    without, with_key = server.seen
    assert "authorization" not in without.headers
    assert with_key.headers["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("key", ["content", "reasoning_content", "reasoning"])
def test_the_first_token_is_the_first_text_of_any_kind(server, target, token, key):
    role = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
    server.answer = lambda exchange: exchange.stream(role, token(key=key), "[DONE]")
    assert put(target).ttft_s is not None


def test_the_gaps_are_between_pieces_with_text(server, target, token, usage):
    role = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
    events = (role, token(), token(), token(""), token(key="reasoning"), usage(7, 3), "[DONE]")
    server.answer = lambda exchange: exchange.stream(*events)
    arrivals = []
    answer = put(target, arrivals=arrivals)
    assert len(arrivals) == 3
    assert answer.itl_s == (arrivals[1] - arrivals[0], arrivals[2] - arrivals[1])
    assert answer.ttft_s + sum(answer.itl_s) <= answer.e2e_latency_s


def test_what_had_come_of_an_answer_that_broke_off_is_known(server, target, token):
    server.answer = lambda exchange: exchange.stream(token(), token(), end=False)
    arrivals = []
    with pytest.raises(OSError):  # noqa: PT011
        put(target, arrivals=arrivals)
    assert len(arrivals) == 2


def test_an_answer_without_text_but_with_counts_is_an_answer(server, target, token, usage):
    server.answer = lambda exchange: exchange.stream(token(""), usage(7, 1), "[DONE]")
    answer = put(target)
    assert (answer.ttft_s, answer.output_tokens) == (None, 1)


def test_each_piece_of_an_answer_is_heard_and_a_sign_of_mere_life_is_not(
    server, target, token, usage
):
    def answer(exchange):
        exchange.stream(token(), token(), usage(7, 2), end=False)
        for data in (b": still here\n\n", b"data: [DONE]\n\n", b""):
            exchange.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    server.answer = answer
    heard = []
    put(target, heard=lambda: heard.append(True))
    assert len(heard) == 3


def test_a_stream_may_end_with_a_reason_instead_of_a_mark(server, target, token):
    server.answer = lambda exchange: exchange.stream(token(), token(None, "stop"))
    assert put(target).ttft_s is not None


def test_odd_but_harmless_events_are_passed_over(server, target, token):
    odd = [{"choices": []}, {"choices": None}, {"choices": [{"delta": None}]}, {"id": "x"}]
    server.answer = lambda exchange: exchange.stream(*odd, token(), "[DONE]")
    assert put(target).ttft_s is not None


def test_a_refusal_carries_its_status_and_its_text(server, target):
    server.answer = lambda exchange: exchange.send("429 Too Many Requests", b"later")
    with pytest.raises(OSError, match="HTTP 429: later"):
        put(target)


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "to the end of connection"])
def test_a_stream_that_breaks_off_is_an_error(server, target, token, chunked):
    server.answer = lambda exchange: exchange.stream(token(), token(), chunked=chunked, end=False)
    with pytest.raises(OSError):  # noqa: PT011
        put(target)


def test_an_error_inside_the_stream_is_an_error(server, target, token):
    error = {"error": {"message": "out of blocks", "code": 500}}
    server.answer = lambda exchange: exchange.stream(token(), error, "[DONE]")
    with pytest.raises(OSError, match="out of blocks"):
        put(target)


def test_a_stream_without_a_token_is_an_error(server, target):
    server.answer = lambda exchange: exchange.stream("[DONE]")
    with pytest.raises(OSError, match="without a token"):
        put(target)


def test_what_is_not_json_is_an_error(server, target):
    server.answer = lambda exchange: exchange.stream("{broken")
    with pytest.raises(OSError, match="JSON"):
        put(target)


def test_what_is_not_http_is_an_error(server, target):
    server.answer = lambda exchange: exchange.wfile.write(b"SSH-2.0-OpenSSH_9\r\n")
    with pytest.raises(OSError, match="BadStatusLine"):
        put(target)


def test_a_silent_server_is_given_up(server, target):
    server.answer = lambda exchange: exchange.wait_for_the_client_to_leave()
    with pytest.raises(TimeoutError):
        put(target, timeout_s=0.05)
    assert server.left.wait(PATIENCE_S)


def test_nobody_there_is_an_error():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            put(Target(f"http://127.0.0.1:{port}", "mine", "/t", "vllm"))


def test_a_request_ends_when_its_socket_is_shut_down(server, target):
    sockets = []

    def answer(exchange):
        sockets[0].shutdown(socket.SHUT_RDWR)
        exchange.wait_for_the_client_to_leave()

    server.answer = answer
    with pytest.raises(OSError):  # noqa: PT011
        put(target, connected=sockets.append)


@pytest.mark.parametrize(("counted", "words"), [(32, 100), (64, 50), (40, 80), (None, 100)])
def test_a_prompt_has_as_many_tokens_as_the_server_counts(
    server, target, token, usage, counted, words
):
    server.answer = lambda exchange: exchange.stream(token(), usage(counted, 1), "[DONE]")
    assert len(prompt_of(target, 100, timeout_s=PATIENCE_S).split()) == words


def test_a_prompt_has_a_word_at_least(server, target, token, usage):
    server.answer = lambda exchange: exchange.stream(token(), usage(320, 1), "[DONE]")
    assert prompt_of(target, 1, timeout_s=PATIENCE_S).split() == ["measure"]


def test_the_names_that_a_server_serves(server):
    server.answer = lambda exchange: exchange.send(body=models("mine", "adapter"))
    assert served_models(server.url, timeout_s=PATIENCE_S) == ("mine", "adapter")
    assert server.seen[0].request_line == "GET /v1/models HTTP/1.1"


def test_a_server_with_a_key_is_asked_with_it(server):
    server.answer = lambda exchange: exchange.send(body=models())
    assert served_models(server.url, timeout_s=PATIENCE_S, api_key="s3cret") == ()
    assert server.seen[0].headers["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"3", b'{"data": [{}]}', b'{"data": 3}'])
def test_another_kind_of_server_lists_no_names(server, body):
    server.answer = lambda exchange: exchange.send(body=body)
    with pytest.raises(OSError, match="GET /v1/models"):
        served_models(server.url, timeout_s=PATIENCE_S)


def test_a_refusal_lists_no_names(server):
    server.answer = lambda exchange: exchange.send("401 Unauthorized", b"key?")
    with pytest.raises(OSError, match="HTTP 401"):
        served_models(server.url, timeout_s=PATIENCE_S)
