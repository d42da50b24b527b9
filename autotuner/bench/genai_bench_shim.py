"""Run genai-bench's own command line, with its level loop told in seconds and its ear to us.

Runs inside genai-bench's environment, never in ours: importing genai-bench patches the whole
process for gevent. The traffic, the clients, the timing and the token counts are genai-bench's.
What changes, and why (all read from genai-bench 0.0.5):

* A level's limit is whole minutes, polled once a second. Here: seconds, polled 20 times a second.
* Its request rows carry no time stamps, requests cut at the end of a level leave no trace, rows
  that its own validation refuses (one-token outputs) are dropped. Here: each request is written
  down when it ends, however it ends, so that nothing is lost if genai-bench dies.
* A stream that breaks off counts as an answer, unless it was chunked. Here: it is an error.
* Of an answer it keeps the first token's time and the end. Here: the gaps between all chunks with
  text, and their number also where the request was cut.
* Nobody outside knows whether tokens flow, nor whether it is itself at its limit. Here: a sign of
  life every ``beat_s`` says whether there was a token; each request has its process's CPU time.
* Its workers report every three seconds. Here: requests are counted in the event file. For the rest
  of them see `genai_bench_workers`.
* At the end of a level locust looks at its own stack, which takes 0.2 s the first time, while no
  token is read. Here: the first time is before the first level.
* It boots when the server is there. Here: before, and waits then to be told where the server is.
* A level without any success ends the program, and plots cost seconds. Here: neither does.
* Its levels are those of its command line. Here: more may follow, see `genai_bench_levels`.

AUTOTUNER_SHIM is a JSON object with ``events`` (file to append to, one JSON object a line),
``seconds``, ``requests`` (null: no limit), ``beat_s``, ``go``, a file to wait for: the server's
``url``, an ``environment`` to add, and ``levels``, a file that grows by a line for each level
behind those of the command line: its concurrency. Exit status 78: unfit genai-bench; 74: no events
written.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import runpy
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_UNFIT = 78
_UNWRITTEN = 74
_POLL_S = 0.05
_LEFT_OUT = (
    "plot_single_scenario_inference_speed_vs_throughput",
    "load_one_experiment",
    "create_workbook",
    "plot_experiment_data_flexible",
)
_ENDED = b'{"event": "request"'

_options = json.loads(os.environ.get("AUTOTUNER_SHIM", "{}"))


class _Ear:
    """What this process hears; plain attributes, as they are set at every token."""

    tokens = False
    """Whether there was a token since the last sign of life."""
    now = 0.0
    """When the line came that is being read."""
    times: list[float] | None = None
    """Where to note that if the line has text; no other request runs before it is read."""
    beating_in: int | None = None
    """The process that gives signs of life; a fork begins anew."""


class _Level:
    """What the level loop knows, in the process that runs it."""

    offset = 0
    """Up to where the event file has been looked at."""
    ended = 0
    workers: tuple[Any, ...] = ()
    """Processes that have to live."""


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

    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < _options["seconds"]:
        gevent.sleep(_POLL_S)
        if _options["requests"] is not None and _ended_requests() >= _options["requests"]:
            break
        if not all(worker.is_alive() for worker in _Level.workers):
            sys.exit("one of genai-bench's workers ended")
    _emit("stop_rule_met", clock=time.monotonic())
    return round(elapsed)


def _ended_requests() -> int:
    """Requests of this level that have ended, in whichever process."""
    with Path(_options["events"]).open("rb") as file:
        file.seek(_Level.offset)
        new = file.read()
    complete = new[: new.rfind(b"\n") + 1]
    _Level.offset += len(complete)
    _Level.ended += complete.count(_ENDED)
    return _Level.ended


def _keep_beating() -> None:
    """Give signs of life; by each process that sends requests, as only it hears tokens."""
    if _Ear.beating_in != os.getpid():
        import gevent

        _Ear.beating_in = os.getpid()
        gevent.spawn(_beat, gevent.sleep)


def _beat(sleep: Any) -> None:
    while True:
        sleep(_options["beat_s"])
        tokens, _Ear.tokens = _Ear.tokens, False
        _emit("alive", tokens=tokens)


def _read_streams(module: Any, user_class: Any) -> None:
    """Note when text comes, and refuse streams that break off."""
    from requests.exceptions import ChunkedEncodingError

    original = user_class.parse_chat_response

    def parse_chat_response(self: Any, response: Any, *args: Any) -> Any:
        lines = response.iter_lines
        response.iter_lines = lambda **options: _heard(lines(**options), self.heard_at)
        answer = original(self, response, *args)
        # It stops reading at the last event: a stream that was read to its end had none.
        if answer.status_code == 200 and response._content_consumed:
            raise ChunkedEncodingError("the stream broke off before its last event")
        return answer

    user_class.parse_chat_response = parse_chat_response
    # It reads each line right after it came: reading it a second time would double the work.
    module.json = SimpleNamespace(**{**vars(module.json), "loads": _loads})


def _heard(lines: Any, times: list[float]) -> Any:
    for line in lines:
        if line[:5] == b"data:":  # other lines may only keep the connection alive
            _Ear.tokens, _Ear.times, _Ear.now = True, times, time.monotonic()
        yield line


def _loads(text: Any, **options: Any) -> Any:
    data = json.loads(text, **options)
    times, _Ear.times = _Ear.times, None
    if times is not None:
        try:
            delta = data["choices"][0]["delta"]
            if delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning"):
                times.append(_Ear.now)
        except (LookupError, TypeError, AttributeError):
            pass  # no piece of an answer
    return data


def _record_requests(user_class: Any) -> None:
    original = user_class.send_request

    def send_request(self: Any, stream: bool, endpoint: str, payload: Any, *args: Any) -> Any:
        _keep_beating()
        times: list[float] = []
        self.heard_at = times
        cpu, started = time.process_time(), time.monotonic()
        fields: dict[str, Any] = {}
        try:
            response = original(self, stream, endpoint, payload, *args)
        except Exception as error:  # genai-bench itself drops these requests silently
            fields = _failed(started, -1, f"{type(error).__name__}: {error}")
            raise
        except BaseException:  # gevent's GreenletExit: the level ended around us
            fields = {"started": started, "ended": time.monotonic(), "cut": True}
            fields["first"] = times[0] if times else None
            raise
        else:
            if response.status_code == 200:
                fields = _completed(response, times if stream else None)
            else:
                message = str(response.error_message)[:2000]
                fields = _failed(started, response.status_code, message)
            return response
        finally:
            asked = payload.get("max_tokens") or payload.get("max_completion_tokens")
            used = {"process": os.getpid(), "cpu": [cpu, time.process_time()]}
            _emit("request", **fields, asked=asked, chunks=len(times) if stream else None, **used)

    user_class.send_request = send_request


def _completed(response: Any, times: list[float] | None) -> dict[str, Any]:
    return {
        "started": response.start_time,
        "first": response.time_at_first_token,
        "ended": response.end_time,
        "itl": None if times is None else [round(b - a, 5) for a, b in pairwise(times)],
        "input_tokens": response.num_prefill_tokens,
        "output_tokens": getattr(response, "tokens_received", None),
        "reasoning_tokens": getattr(response, "reasoning_tokens", None),
    }


def _failed(started: float, code: Any, message: str) -> dict[str, Any]:
    return {"started": started, "ended": time.monotonic(), "code": code, "message": message}


def _await_server(environment: Any) -> None:
    """Wait to be told where the server is, before any worker is forked: they inherit it."""
    import gevent

    _emit("booted")
    while not (go := Path(_options["go"])).exists():
        gevent.sleep(_POLL_S)
    told = json.loads(go.read_text())
    os.environ.update(told["environment"])
    for user_class in environment.user_classes:
        user_class.host = told["url"]


def _before_setup(environment: Any) -> None:
    inspect.stack()  # its first time, see above
    _await_server(environment)


def _remember_workers(processes: list[Any]) -> None:
    _Level.workers = tuple(processes)


def _announce_levels(collector_class: Any) -> None:
    set_run_metadata = collector_class.set_run_metadata
    aggregate = collector_class.aggregate_metrics_data

    def announce(self: Any, iteration: int, scenario: str, *args: Any, **kwargs: Any) -> None:
        now = {"clock": time.monotonic(), "time": time.time()}
        _emit("level_started", scenario=scenario, concurrency=iteration, **now)
        _Level.offset, _Level.ended = Path(_options["events"]).stat().st_size, 0
        set_run_metadata(self, iteration, scenario, *args, **kwargs)

    def finish(self: Any, *args: Any, **kwargs: Any) -> None:
        _emit("level_finished")
        try:
            aggregate(self, *args, **kwargs)
        except ValueError as error:  # no success in this level; its rows say so already
            print(f"genai-bench could not aggregate this level: {error}", flush=True)

    collector_class.set_run_metadata = announce
    collector_class.aggregate_metrics_data = finish


def _beside(name: str) -> dict[str, Any]:
    """Names of a module beside this file, where Python looks for none as it is run."""
    return runpy.run_path(str(Path(__file__).with_name(name)))


def _adapt() -> Any:
    """Apply the changes and return genai-bench's command line."""
    import genai_bench.cli.cli as cli
    import genai_bench.user.openai_user as openai_user
    from genai_bench.distributed.runner import DistributedRunner
    from genai_bench.metrics.aggregated_metrics_collector import AggregatedMetricsCollector

    nothing = dict.fromkeys(_LEFT_OUT, lambda *_, **__: (None, None))
    replaced = {"manage_run_time": _until_stop_rule, **nothing}
    for name, function in replaced.items():
        getattr(cli, name)  # raises where this version has no such function
        setattr(cli, name, function)
    _read_streams(openai_user, openai_user.OpenAIUser)
    _record_requests(openai_user.OpenAIUser)
    gather = _beside("genai_bench_workers.py")["gather"]
    gather(DistributedRunner, before=_before_setup, gathered=_remember_workers)
    _announce_levels(AggregatedMetricsCollector)
    _beside("genai_bench_levels.py")["go_on"](cli.benchmark, Path(_options["levels"]))
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
