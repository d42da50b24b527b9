"""genai-bench as a load generator: a subprocess in an environment of its own, rows out.

One call per workload runs all of its concurrency levels: a call costs seconds to boot (Python
imports), and a level's rows arrive through the event file as soon as it ends, so that nothing
is gained by one call per level. Levels that are not known ahead are told to the call that runs,
one at a time. The first call of an attempt boots while the server starts. A
call that dies loses the level it was in; the levels behind it get a new call.
`genai_bench_shim` says how a call differs from a plain ``genai-bench``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterable, Sequence
from itertools import chain, islice
from pathlib import Path

from autotuner.bench.base import Booted, LevelLoad, LoadContext, LoadGenerator, Target
from autotuner.bench.genai_bench_call import GenaiBenchCall, python_of
from autotuner.errors import LaunchError
from autotuner.spec.workload import Level, Workload

__all__ = ["EXECUTABLE_VARIABLE", "PINNED_VERSION", "GenaiBench", "find_executable"]

PINNED_VERSION = "0.0.5"
EXECUTABLE_VARIABLE = "AUTOTUNER_GENAI_BENCH"
"""Names the genai-bench program on a node where the study does not."""

_VERSION_S = 60.0
"""Patience with an interpreter that is asked for a version: its files may be on a network."""


class GenaiBench(LoadGenerator):
    """Runs genai-bench's ``benchmark`` command below its shim."""

    name = "genai-bench"

    def version(self, context: LoadContext) -> str | None:
        python = python_of(find_executable(context.executable))
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

    def boot(
        self, target: Target, workload: Workload, levels: Sequence[Level], context: LoadContext
    ) -> GenaiBenchCall:
        return GenaiBenchCall(
            find_executable(context.executable), target, workload, levels, context
        )

    def run(
        self,
        target: Target,
        workload: Workload,
        levels: Iterable[Level],
        context: LoadContext,
        booted: Booted | None = None,
    ) -> Generator[LevelLoad, None, None]:
        call = booted if isinstance(booted, GenaiBenchCall) else None
        waiting: list[Level] = []
        later = iter(levels)
        if isinstance(levels, Sequence):
            waiting, later = list(levels), iter(())
        while waiting or (waiting := list(islice(later, 1))):
            if reason := context.should_stop():
                for level in chain(waiting, later):
                    yield LevelLoad(level, (), None, reason)
                return
            call = call or self.boot(target, workload, waiting, context)
            waiting = yield from call.run(target.url, context, later)
            call = None


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
