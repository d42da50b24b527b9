"""A server with OpenAI's interface and no model: ``python -m autotuner.engines.sim_server``.

It answers ``GET /health``, ``GET /version``, ``GET /v1/models``, ``POST /v1/chat/completions``
and ``POST /v1/completions``, streamed or whole. The pace is that of `autotuner.engines.sim_model`,
where the formula stands; the text is made up. Flags have vLLM's names where they mean the same.
Standard library only, so that it starts in a fraction of a second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import sys
from collections.abc import Sequence
from dataclasses import replace

from autotuner.engines import sim_http as http
from autotuner.engines.sim_answer import CHAT, COMPLETION, Answer, Ask, BadRequestError
from autotuner.engines.sim_devices import hold
from autotuner.engines.sim_faults import Faults, Verdict, add_fault_arguments, faults_of_rank
from autotuner.engines.sim_model import (
    Batch,
    PrefixCache,
    Request,
    Timing,
    noise_factor,
    prompt_tokens,
)
from autotuner.engines.sim_ranks import Followers, follow
from autotuner.version import __version__

__all__ = ["SimServer", "build_parser", "main"]

_MOST_DEBT_S = 0.005
_DEVICE_MEMORY_BYTES = 72 * 2**30
"""Of each simulated device, where there are any: as engines take nine tenths."""


class SimServer:
    """Connections on one side, the batch on the other, one event loop for both."""

    def __init__(self, arguments: argparse.Namespace, faults: Faults) -> None:
        self._faults = faults
        self._root = arguments.model
        self._name = arguments.served_model_name or arguments.model
        if faults.wrong_model_name:
            self._name += "-of-another-server"
        self._timing = Timing(tensor_parallel_size=arguments.tensor_parallel_size)
        self._time_scale = arguments.time_scale
        self._noise_cv = arguments.noise_cv
        self._random = random.Random(arguments.seed)  # noqa: S311
        self._cache = PrefixCache() if arguments.enable_prefix_caching else None
        self._batch = Batch(arguments.max_num_seqs, arguments.max_num_batched_tokens)
        self._answers: dict[Request, Answer] = {}
        self._crash_at: dict[Request, int] = {}
        self._work = asyncio.Event()
        self._numbers = itertools.count(1)
        self._followers = Followers(arguments.nnodes - 1)
        self._meeting = (arguments.master_addr, arguments.master_port)

    async def serve(self, host: str, port: int) -> None:
        """Serve until the process ends, once all ranks are there; ``port`` 0 takes any free one.

        Raises:
            OSError: the port is taken.
        """
        await self._followers.gather(*self._meeting)
        server = await asyncio.start_server(self._connection, host, port)
        bound = server.sockets[0].getsockname()[1]
        print(f"simulated server ready on http://{host}:{bound}", flush=True)
        async with server:
            await self._run_steps()

    async def _run_steps(self) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            self._forget_the_gone()
            if not self._batch.busy:
                self._work.clear()
                await self._work.wait()
                due = clock()
            step = self._batch.step()
            duration_s = self._timing.step_s(step.decode_tokens, step.prefill_tokens)
            duration_s *= noise_factor(self._random, self._noise_cv) * self._time_scale
            # Timers are late by up to a millisecond: catch up a little, never with a long burst.
            due = max(due + duration_s, clock() - _MOST_DEBT_S)
            await asyncio.sleep(max(0.0, due - clock()))
            for request in step.emitted:
                self._emit(request)

    def _emit(self, request: Request) -> None:
        answer = self._answers[request]
        if answer.sent + 1 == self._crash_at.get(request):
            self._faults.crash()
        answer.token()
        if request.finished:
            del self._answers[request]

    def _forget_the_gone(self) -> None:
        for request, answer in list(self._answers.items()):
            if answer.gone:
                self._batch.remove(request)
                del self._answers[request]
                answer.done.set()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            keep_alive = True
            while keep_alive:
                try:
                    call = await http.read_call(reader)
                except ValueError as error:
                    writer.write(http.error(str(error), 400))
                    break
                if call is None:
                    break
                await self._respond(call, reader, writer)
                await writer.drain()
                keep_alive = call.keep_alive
        writer.close()

    async def _respond(
        self, call: http.Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        match call.method, call.path:
            case "GET", "/health":
                writer.write(http.json_response(None))
            case "GET", "/version":
                writer.write(http.json_response({"version": __version__}))
            case "GET", "/v1/models":
                model = {"id": self._name, "object": "model", "root": self._root}
                model["owned_by"] = "autotuner"
                writer.write(http.json_response({"object": "list", "data": [model]}))
            case "POST", (str() as path) if path in (CHAT, COMPLETION):
                await self._complete(call, reader, writer)
            case _:
                writer.write(http.error("Not Found", 404))

    async def _complete(
        self, call: http.Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            ask = Ask.read(call.path, call.body)
        except BadRequestError as error:
            writer.write(http.error(str(error), 400))
            return
        if ask.model != self._name:
            message = f"The model `{ask.model}` does not exist."
            writer.write(http.error(message, 404, param="model"))
            return
        number = next(self._numbers)
        await self._followers.agree(number)
        verdict = self._faults.verdict(number)
        if verdict is Verdict.FILL_DISK:
            self._faults.fill_the_disk()
        if verdict in (Verdict.HANG, Verdict.STALL):
            if verdict is Verdict.STALL:
                Answer(ask, reader, writer).stall()
            await asyncio.Event().wait()
        most = self._faults.refuse_above
        if verdict is Verdict.ERROR or (most is not None and len(self._answers) >= most):
            writer.write(http.error("refused on demand", self._faults.error_status))
            return
        if self._faults.early_eos:
            ask = replace(ask, tokens=max(1, ask.tokens // 2), finish_reason="stop")
        request = Request(self._tokens_to_read(ask.prompt), ask.tokens)
        if verdict is Verdict.CRASH:
            self._crash_at[request] = ask.tokens // 2 + 1
        answer = self._answers[request] = Answer(ask, reader, writer)
        self._batch.add(request)
        self._work.set()
        await answer.done.wait()
        if not answer.gone:
            answer.finish()

    def _tokens_to_read(self, prompt: str) -> int:
        if self._cache is None:
            return prompt_tokens(prompt)
        return self._cache.uncached_tokens(prompt)


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 up")
    return value


def build_parser() -> argparse.ArgumentParser:
    """The command line; its spellings are those of vLLM where both have the flag."""
    parser = argparse.ArgumentParser(
        prog="sim_server.py", description="A simulated inference server.", allow_abbrev=False
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--served-model-name")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 takes any free one")
    parser.add_argument("--max-num-seqs", type=_at_least_one, default=16)
    parser.add_argument("--max-num-batched-tokens", type=_at_least_one, default=2048)
    parser.add_argument("--tensor-parallel-size", type=_at_least_one, default=1)
    parser.add_argument("--enable-prefix-caching", action="store_true")
    parser.add_argument("--noise-cv", type=_not_negative, default=0.0)
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    parser.add_argument(
        "--time-scale", type=_not_negative, default=1.0, help="0.1 is ten times faster"
    )
    parser.add_argument("--nnodes", type=_at_least_one, default=1)
    parser.add_argument("--node-rank", type=int, default=0, help="0 serves, others join it")
    parser.add_argument("--master-addr", default="127.0.0.1", help="where rank 0 is joined")
    parser.add_argument("--master-port", type=int, default=29501)
    add_fault_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server; returns an exit status only where it could not start."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.max_num_batched_tokens < arguments.max_num_seqs:
        parser.error("argument --max-num-batched-tokens: must be at least max-num-seqs")
    if not 0 <= arguments.node_rank < arguments.nnodes:
        parser.error("argument --node-rank: must be at least 0 and less than nnodes")
    faults = faults_of_rank(arguments)
    hold(_DEVICE_MEMORY_BYTES)
    faults.at_start()
    if arguments.node_rank > 0:
        meeting = (arguments.master_addr, arguments.master_port)
        asyncio.run(follow(arguments.node_rank, *meeting, faults))
    try:
        asyncio.run(SimServer(arguments, faults).serve(arguments.host, arguments.port))
    except OSError as error:
        print(f"sim_server.py: {error}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
