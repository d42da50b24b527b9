"""Run genai-bench's own command line, with its level loop told in seconds and its ear to us.

Runs inside genai-bench's environment, never in ours: importing genai-bench patches the whole
process for gevent. The traffic, the clients, the timing and the token counts are genai-bench's.
What changes, and why (all read from genai-bench 0.0.5):

* A level's time limit is whole minutes, and its end is polled once a second. Here: seconds,
  polled twenty times a second.
* Its request rows carry no time stamps, requests cut at the end of a level leave no trace, and
  rows that its own validation refuses (one-token outputs) are dropped. Here: every request is
  written down when it ends, however it ends, so that nothing is lost if genai-bench dies.
* A stream that breaks off counts as an answer, unless it was chunked. Here: it is an error.
* Whether tokens flow is known to nobody outside. Here: a sign of life every ``beat_s``, which
  says whether there was a token since the last one.
* A level without a single success ends the program and loses the levels after it. Here: the
  next level follows.
* Spreadsheets and plots take seconds of GPU time. Here: they are left out.

Configuration comes in the environment variable AUTOTUNER_SHIM, a JSON object with ``events``
(file to append to, one JSON object a line), ``seconds``, ``requests`` (null: no limit) and
``beat_s``. Exit status 78: this genai-bench is not one that the changes fit; 74: the events
could not be written.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any

_UNFIT = 78
_UNWRITTEN = 74
_POLL_S = 0.05

_options = json.loads(os.environ.get("AUTOTUNER_SHIM", "{}"))


class _Flow:
    """Of the answers that are being read. One flag, as it is set at every token."""

    tokens = False


def _emit(event: str, **fields: Any) -> None:
    """Append one line in one write, so that forked load workers cannot interleave.

    Ends the process where that fails: the rows would be lost, and nobody would know.
    """
    line = json.dumps({"event": event, **fields}).encode() + b"\n"
    try:
        fd = os.open(_options["events"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        while line:  # more than once only where a disk is full: the next write says so
            line = line[os.write(fd, line) :]
        os.close(fd)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(2, f"the event file cannot be written: {error}\n".encode())
        os._exit(_UNWRITTEN)


def _until_stop_rule(max_time_per_run: float, max_requests_per_run: int, environment: Any) -> int:
    import gevent

    started = beat_at = time.monotonic()
    while (elapsed := time.monotonic() - started) < _options["seconds"]:
        gevent.sleep(_POLL_S)
        ended = environment.runner.stats.total.num_requests
        if _options["requests"] is not None and ended >= _options["requests"]:
            break
        if time.monotonic() - beat_at >= _options["beat_s"]:
            beat_at = time.monotonic()
            tokens, _Flow.tokens = _Flow.tokens, False
            _emit("alive", tokens=tokens)
    _emit("stop_rule_met")
    return round(elapsed)


def _hear_tokens() -> None:
    from requests import Response

    original = Response.iter_lines

    def iter_lines(self: Any, *args: Any, **kwargs: Any) -> Any:
        for line in original(self, *args, **kwargs):
            if line[:5] == b"data:":  # other lines may only keep the connection alive
                _Flow.tokens = True
            yield line

    Response.iter_lines = iter_lines  # type: ignore[method-assign]


def _refuse_broken_streams(user_class: Any) -> None:
    from requests.exceptions import ChunkedEncodingError

    original = user_class.parse_chat_response

    def parse_chat_response(self: Any, response: Any, *args: Any) -> Any:
        answer = original(self, response, *args)
        # It stops reading at the last event: a stream that was read to its end had none.
        if answer.status_code == 200 and response._content_consumed:
            raise ChunkedEncodingError("the stream broke off before its last event")
        return answer

    user_class.parse_chat_response = parse_chat_response


def _record_requests(user_class: Any) -> None:
    original = user_class.send_request

    def send_request(self: Any, *args: Any, **kwargs: Any) -> Any:
        started = time.monotonic()
        try:
            response = original(self, *args, **kwargs)
        except Exception as error:  # genai-bench itself drops these requests silently
            _emit(
                "request",
                started=started,
                ended=time.monotonic(),
                code=-1,
                message=f"{type(error).__name__}: {error}",
            )
            raise
        except BaseException:  # gevent's GreenletExit: the level ended around us
            _emit("request", started=started, cut=True)
            raise
        if response.status_code == 200:
            _emit(
                "request",
                started=response.start_time,
                first=response.time_at_first_token,
                ended=response.end_time,
                input_tokens=response.num_prefill_tokens,
                output_tokens=getattr(response, "tokens_received", None),
                reasoning_tokens=getattr(response, "reasoning_tokens", None),
            )
        else:
            _emit(
                "request",
                started=started,
                ended=time.monotonic(),
                code=response.status_code,
                message=str(response.error_message)[:2000],
            )
        return response

    user_class.send_request = send_request


def _announce_levels(collector_class: Any) -> None:
    set_run_metadata = collector_class.set_run_metadata
    aggregate = collector_class.aggregate_metrics_data

    def announce(self: Any, iteration: int, scenario: str, *args: Any, **kwargs: Any) -> None:
        _emit(
            "level_started",
            scenario=scenario,
            concurrency=iteration,
            clock=time.monotonic(),
            time=time.time(),
        )
        set_run_metadata(self, iteration, scenario, *args, **kwargs)

    def finish(self: Any, *args: Any, **kwargs: Any) -> None:
        _emit("level_finished")
        try:
            aggregate(self, *args, **kwargs)
        except ValueError as error:  # no success in this level; its rows say so already
            print(f"genai-bench could not aggregate this level: {error}", flush=True)

    collector_class.set_run_metadata = announce
    collector_class.aggregate_metrics_data = finish


def _nothing(*args: Any, **kwargs: Any) -> tuple[None, None]:
    return None, None


def _adapt() -> Any:
    """Apply the changes and return genai-bench's command line."""
    import genai_bench.cli.cli as cli
    from genai_bench.metrics.aggregated_metrics_collector import AggregatedMetricsCollector
    from genai_bench.user.openai_user import OpenAIUser

    replaced = {
        "manage_run_time": _until_stop_rule,
        "plot_single_scenario_inference_speed_vs_throughput": _nothing,
        "load_one_experiment": _nothing,
        "create_workbook": _nothing,
        "plot_experiment_data_flexible": _nothing,
    }
    for name, function in replaced.items():
        getattr(cli, name)  # raises where this version has no such function
        setattr(cli, name, function)
    _hear_tokens()
    _refuse_broken_streams(OpenAIUser)
    _record_requests(OpenAIUser)
    _announce_levels(AggregatedMetricsCollector)
    return cli.cli


def main() -> None:
    try:
        command = _adapt()
    except (ImportError, AttributeError) as error:
        print(f"this genai-bench does not fit autotuner (made for 0.0.5): {error}", flush=True)
        sys.exit(_UNFIT)
    command(prog_name="genai-bench")


if __name__ == "__main__":
    main()
