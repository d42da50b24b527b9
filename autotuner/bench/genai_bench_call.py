"""One run of the genai-bench program: booted ahead of the server, told where it answers, followed.

The program boots for seconds: Python imports, the tokenizer, a dataset. None of that needs the
server, so that a call can boot while the server still starts. The shim then waits for a file that
says where the server is, and nothing is sent before. After the levels that it was called with it
waits for others, which are appended to another file.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path

from autotuner.bench.base import Booted, LevelLoad, LoadContext, Target
from autotuner.bench.genai_bench_events import EventFile
from autotuner.bench.genai_bench_progress import Progress
from autotuner.errors import LaunchError
from autotuner.spec.workload import Level, Workload
from autotuner.supervision.process import SupervisedProcess

__all__ = ["GenaiBenchCall", "held_port", "python_of"]

_SHIM = Path(__file__).with_name("genai_bench_shim.py")
_NOWHERE = "http://autotuner.invalid"
"""Where requests would go that did not wait: a name that no resolver knows (RFC 2606)."""
_POLL_S = 0.1
_BOOT_S = 300.0
"""Patience with genai-bench's imports and tokenizer, per call."""
_BEAT_S = 1.0
"""Between two signs of life of the shim, at most."""
_TAIL_LINES = 15
_FULL_BYTES = 4096
"""With less, a disk takes no more of a log."""


class GenaiBenchCall(Booted):
    """The program over consecutive levels of a workload. Starts it, as far as it goes without a
    server; `run` lets it go on, and `close` ends it.

    Args:
        target: Its URL is not looked at: the server may not have one yet.

    Raises:
        LaunchError: the program cannot be executed here.
    """

    def __init__(
        self,
        executable: Path,
        target: Target,
        workload: Workload,
        levels: Sequence[Level],
        context: LoadContext,
    ) -> None:
        self._workload, self._levels, self._environment = workload, levels, context.environment
        self._folder = _new_folder(context.folder, workload.name)
        self._events = EventFile(self._folder / "events.jsonl")
        self._go, self._more = self._folder / "go.json", self._folder / "levels"
        command = [str(python_of(executable)), "-I", str(_SHIM), "benchmark"]
        command += _words(target, workload, levels, self._folder)
        with contextlib.ExitStack() as stack:
            if context.workers:
                port = stack.enter_context(held_port())
                command += ["--num-workers", str(context.workers), "--master-port", str(port)]
            self._process = stack.enter_context(
                SupervisedProcess(
                    command,
                    environment=self._variables(target, context),
                    log_path=context.folder / f"{self._folder.name}.log",
                    cpus=context.cpus,
                    grace_s=1.0,
                    cwd=self._folder,
                )
            )
            self._running = stack.pop_all()

    def run(
        self, url: str, context: LoadContext, later: Iterator[Level]
    ) -> Generator[LevelLoad, None, list[Level]]:
        """Yield levels that ended or were lost; return those that want another call.

        Args:
            url: Where the server answers.
            context: May differ from that of the boot in ``should_stop`` and in the variables.
            later: Levels behind those of the boot; one is taken when there is no other.
        """
        with contextlib.closing(self):
            progress = Progress(
                self._levels,
                boot_s=_BOOT_S,
                level_limit_s=self._workload.stop.seconds + context.level_grace_s,
                no_token_s=context.no_token_s,
                last_words=self._last_words,
                watch_cpus=context.watch_cpus,
            )
            try:
                self._let_go(url, context.environment)
            except OSError as error:
                progress.fail_by_itself(f"genai-bench cannot be told to begin: {error}")
            yield from self._follow(progress, context, later)
        # After the end of the process: who looks at the server next is to find it unloaded.
        yield from progress.lost(later)
        return progress.waiting

    def close(self) -> None:
        """End the program, wherever it is."""
        self._running.close()

    def _let_go(self, url: str, environment: Mapping[str, str]) -> None:
        later = {n: v for n, v in environment.items() if self._environment.get(n) != v}
        hidden = self._go.with_suffix(".tmp")
        hidden.write_text(json.dumps({"url": url, "environment": later}))
        hidden.replace(self._go)

    def _tell_next(self, progress: Progress, level: Level) -> None:
        progress.expect(level)
        try:
            with self._more.open("a") as file:
                file.write(f"{level.concurrency}\n")
        except OSError as error:
            progress.fail_by_itself(f"genai-bench cannot be told of {level}: {error}")

    def _follow(
        self, progress: Progress, context: LoadContext, later: Iterator[Level]
    ) -> Generator[LevelLoad, None, None]:
        while True:
            # Asked before reading, so that what a dying process wrote last is still read.
            reason, alive = context.should_stop(), self._process.alive
            for event in self._events.read():
                if (load := progress.take(event)) is not None:
                    yield load
                    if not progress.waiting and (level := next(later, None)) is not None:
                        self._tell_next(progress, level)
                if progress.ended:
                    return
            if reason:
                progress.fail(reason)
            elif not alive:
                progress.fail_by_itself(f"genai-bench ended early ({self._process.exit})")
            else:
                progress.look_at_the_clock()
            if progress.ended:
                return
            time.sleep(_POLL_S)

    def _last_words(self) -> str:
        tail = "\n".join(self._process.log_tail().splitlines()[-_TAIL_LINES:])
        words = f"its last lines:\n{tail}" if tail else "it wrote nothing"
        # On a full disk its log may lack the very line that says so.
        full = shutil.disk_usage(self._folder.parent).free < _FULL_BYTES
        return f"no space left on device in {self._folder.parent}; {words}" if full else words

    def _variables(self, target: Target, context: LoadContext) -> dict[str, str]:
        stop = self._workload.stop
        shim = {
            "events": str(self._events.path),
            "go": str(self._go),
            "levels": str(self._more),
            "seconds": stop.seconds,
            "requests": stop.requests,
            "beat_s": min(_BEAT_S, context.no_token_s / 8),
        }
        environment = {**context.environment, "ENABLE_UI": "false"}
        environment["GENAI_BENCH_LOGGING_LEVEL"] = "WARNING"  # at INFO: a line per request
        environment["AUTOTUNER_SHIM"] = json.dumps(shim)
        environment["TOKENIZERS_PARALLELISM"] = "false"
        if target.api_key is not None:
            environment["MODEL_API_KEY"] = target.api_key  # not on the command line
        return environment


def python_of(executable: Path) -> Path:
    """The interpreter beside the program: our changes must run in genai-bench's environment.

    Raises:
        LaunchError: there is none.
    """
    # An installer may have put a link to the program into a folder of programs.
    for folder in (executable.resolve().parent, executable.parent):
        for name in ("python", "python3"):
            if (python := folder / name).exists():
                return python
    raise LaunchError(f"no python beside {executable}: name the genai-bench of its environment")


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """A free port of this machine, which the system gives to nobody else until the end.

    genai-bench's workers look for their master at a port, whoever it is that listens there; its
    own default is the same for all calls. A socket that is bound and does not listen keeps the
    port from being given away, and, as both allow it, does not keep the master from listening.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def _new_folder(parent: Path, workload: str) -> Path:
    """A folder of one call; a workload's name is free text, by default with brackets and slash."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", workload).strip("-")[:80]
    call = 0
    while (folder := parent / f"bench-{name}-{call}").exists():
        call += 1
    folder.mkdir(parents=True)
    return folder


def _words(target: Target, workload: Workload, levels: Sequence[Level], folder: Path) -> list[str]:
    # --api-backend must come before --api-key and --task: genai-bench reads them in order.
    arguments = {
        "--api-backend": target.backend,
        "--api-base": _NOWHERE,
        "--api-key": "none",
        "--task": workload.task,
        "--api-model-name": target.served_name,
        "--model-tokenizer": target.tokenizer,
        "--traffic-scenario": workload.scenario,
        # The shim keeps the real limits; these only have to lie beyond them.
        "--max-time-per-run": str(int(workload.stop.seconds // 60) + 1),
        "--max-requests-per-run": str(workload.stop.requests or 2**31 - 1),
        "--experiment-base-dir": str(folder),
        "--experiment-folder-name": "out",
        "--log-dir": str(folder),
    }
    if workload.request:
        arguments["--additional-request-params"] = json.dumps(dict(workload.request))
    if (dataset := workload.dataset) is not None:
        named = {
            "--dataset-path": dataset.path,
            "--dataset-config": dataset.config,
            "--dataset-prompt-column": dataset.prompt_column,
        }
        arguments |= {flag: value for flag, value in named.items() if value is not None}
    words = [word for pair in arguments.items() for word in pair]
    for level in levels:
        words += ["--num-concurrency", str(level.concurrency)]
    return words
