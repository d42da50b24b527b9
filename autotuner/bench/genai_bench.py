"""genai-bench as a load generator: a subprocess in an environment of its own, rows out.

One call per workload runs all of its concurrency levels: a call costs seconds to boot (Python
imports), and a level's rows arrive through the event file as soon as it ends, so that nothing
is gained by one call per level. A call that dies loses the level it was in; the levels behind
it get a new call. `genai_bench_shim` says how a call differs from a plain ``genai-bench``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autotuner.bench.base import LevelLoad, LoadContext, LoadGenerator, Target
from autotuner.bench.genai_bench_events import EventFile
from autotuner.bench.genai_bench_progress import Progress
from autotuner.errors import LaunchError
from autotuner.spec.workload import Level, Workload
from autotuner.supervision.process import SupervisedProcess

__all__ = ["EXECUTABLE_VARIABLE", "PINNED_VERSION", "GenaiBench", "held_port"]

PINNED_VERSION = "0.0.5"
EXECUTABLE_VARIABLE = "AUTOTUNER_GENAI_BENCH"
"""Names the genai-bench program on a node where the study does not."""

_SHIM = Path(__file__).with_name("genai_bench_shim.py")
_POLL_S = 0.1
_BOOT_S = 300.0
"""Patience with genai-bench's imports and tokenizer, per call."""
_VERSION_S = 60.0
"""Patience with an interpreter that is asked for a version: its files may be on a network."""
_BEAT_S = 1.0
"""Between two signs of life of the shim, at most."""
_TAIL_LINES = 15
_FULL_BYTES = 4096
"""With less, a disk takes no more of a log."""


class GenaiBench(LoadGenerator):
    """Runs genai-bench's ``benchmark`` command below its shim."""

    name = "genai-bench"

    def version(self, context: LoadContext) -> str | None:
        python = _python_of(find_executable(context.executable))
        question = "import importlib.metadata as m; print(m.version('genai-bench'))"
        try:
            answer = subprocess.run(
                [str(python), "-I", "-c", question],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_VERSION_S,
            )
        except (subprocess.TimeoutExpired, OSError) as error:
            raise LaunchError(f"genai-bench's interpreter does not answer: {error}") from error
        return answer.stdout.strip() or None

    def run(
        self, target: Target, workload: Workload, levels: Sequence[Level], context: LoadContext
    ) -> Generator[LevelLoad, None, None]:
        executable = find_executable(context.executable)
        waiting = list(levels)
        while waiting:
            if reason := context.should_stop():
                yield from (LevelLoad(level, (), None, reason) for level in waiting)
                return
            folder = _new_folder(context.folder, workload.name)
            done = yield from _Call(executable, target, workload, context, folder).run(waiting)
            waiting = waiting[done:]


def find_executable(configured: str | None) -> Path:
    """The study's genai-bench; without one the node's, a sibling environment's, or PATH's.

    Raises:
        LaunchError: there is none; the message lists where it was looked for.
    """
    sibling = Path(sys.prefix).parent / "genai-bench" / "bin" / "genai-bench"
    # One that the study names is never replaced by another: it may be of another version.
    named = [configured] if configured else [os.environ.get(EXECUTABLE_VARIABLE)]
    places = named if named[0] else [str(sibling), "genai-bench"]
    for place in places:
        if place and (found := shutil.which(place)):
            return Path(found).absolute()
    looked = ", ".join(place for place in places if place)
    raise LaunchError(
        f"genai-bench not found (looked for {looked}). Install genai-bench=={PINNED_VERSION} "
        "into an environment of its own and name its program in bench.executable, or in the "
        f"variable {EXECUTABLE_VARIABLE} on each node"
    )


def _new_folder(parent: Path, workload: str) -> Path:
    """A folder of one call; a workload's name is free text, by default with brackets and slash."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", workload).strip("-")[:80]
    call = 0
    while (folder := parent / f"bench-{name}-{call}").exists():
        call += 1
    folder.mkdir(parents=True)
    return folder


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


def _python_of(executable: Path) -> Path:
    """The interpreter beside the program: our changes must run in genai-bench's environment."""
    # An installer may have put a link to the program into a folder of programs.
    for folder in (executable.resolve().parent, executable.parent):
        for name in ("python", "python3"):
            if (python := folder / name).exists():
                return python
    raise LaunchError(f"no python beside {executable}: name the genai-bench of its environment")


@dataclass(frozen=True, slots=True)
class _Call:
    """One run of the program over consecutive levels of a workload."""

    executable: Path
    target: Target
    workload: Workload
    context: LoadContext
    folder: Path

    def run(self, levels: Sequence[Level]) -> Generator[LevelLoad, None, int]:
        """Yield levels that ended or were lost; return how many of ``levels`` these are."""
        if not self.context.workers:
            return (yield from self._run(levels, []))
        with held_port() as port:
            words = ["--num-workers", str(self.context.workers), "--master-port", str(port)]
            return (yield from self._run(levels, words))

    def _run(
        self, levels: Sequence[Level], words: Sequence[str]
    ) -> Generator[LevelLoad, None, int]:
        events = EventFile(self.folder / "events.jsonl")
        with SupervisedProcess(
            [*self._command(levels), *words],
            environment=self._environment(events.path),
            log_path=self.context.folder / f"{self.folder.name}.log",
            cpus=self.context.cpus,
            grace_s=1.0,
            cwd=self.folder,
        ) as process:
            progress = Progress(
                levels,
                boot_s=_BOOT_S,
                level_limit_s=self.workload.stop.seconds + self.context.level_grace_s,
                no_token_s=self.context.no_token_s,
                last_words=lambda: self._last_words(process),
            )
            yield from self._follow(process, events, progress)
        # After the end of the process: who looks at the server next is to find it unloaded.
        yield from progress.lost()
        return progress.done

    def _follow(
        self, process: SupervisedProcess, events: EventFile, progress: Progress
    ) -> Generator[LevelLoad, None, None]:
        while True:
            # Asked before reading, so that what a dying process wrote last is still read.
            reason, alive = self.context.should_stop(), process.alive
            for event in events.read():
                if (load := progress.take(event)) is not None:
                    yield load
                if progress.ended:
                    return
            if reason:
                progress.fail(reason)
            elif not alive:
                progress.fail_by_itself(f"genai-bench ended early ({process.exit})")
            else:
                progress.look_at_the_clock()
            if progress.ended:
                return
            time.sleep(_POLL_S)

    def _last_words(self, process: SupervisedProcess) -> str:
        tail = "\n".join(process.log_tail().splitlines()[-_TAIL_LINES:])
        words = f"its last lines:\n{tail}" if tail else "it wrote nothing"
        # On a full disk its log may lack the very line that says so.
        full = shutil.disk_usage(self.context.folder).free < _FULL_BYTES
        return f"no space left on device in {self.context.folder}; {words}" if full else words

    def _environment(self, events: Path) -> dict[str, str]:
        stop = self.workload.stop
        shim = {"events": str(events), "seconds": stop.seconds, "requests": stop.requests}
        shim["beat_s"] = min(_BEAT_S, self.context.no_token_s / 8)
        environment = {**self.context.environment, "ENABLE_UI": "false"}
        environment["GENAI_BENCH_LOGGING_LEVEL"] = "WARNING"  # at INFO: a line per request
        environment["AUTOTUNER_SHIM"] = json.dumps(shim)
        environment["TOKENIZERS_PARALLELISM"] = "false"
        if self.target.api_key is not None:
            environment["MODEL_API_KEY"] = self.target.api_key  # not on the command line
        return environment

    def _command(self, levels: Sequence[Level]) -> list[str]:
        # --api-backend must come before --api-key and --task: genai-bench reads them in order.
        arguments = {
            "--api-backend": self.target.backend,
            "--api-base": self.target.url,
            "--api-key": "none",
            "--task": self.workload.task,
            "--api-model-name": self.target.served_name,
            "--model-tokenizer": self.target.tokenizer,
            "--traffic-scenario": self.workload.scenario,
            # The shim keeps the real limits; these only have to lie beyond them.
            "--max-time-per-run": str(int(self.workload.stop.seconds // 60) + 1),
            "--max-requests-per-run": str(self.workload.stop.requests or 2**31 - 1),
            "--experiment-base-dir": str(self.folder),
            "--experiment-folder-name": "out",
            "--log-dir": str(self.folder),
        }
        if self.workload.request:
            arguments["--additional-request-params"] = json.dumps(dict(self.workload.request))
        if (dataset := self.workload.dataset) is not None:
            named = {
                "--dataset-path": dataset.path,
                "--dataset-config": dataset.config,
                "--dataset-prompt-column": dataset.prompt_column,
            }
            arguments |= {flag: value for flag, value in named.items() if value is not None}
        words = [word for pair in arguments.items() for word in pair]
        for level in levels:
            words += ["--num-concurrency", str(level.concurrency)]
        return [str(_python_of(self.executable)), "-I", str(_SHIM), "benchmark", *words]
