"""What a genai-bench call costs beyond the load: one call per workload against one per level.

Both run the same levels against the simulated server, one call per workload also with the boot
ahead that an attempt lets run beside its server's start, and with levels that are decided one at a
time. A last run calls the plain program, as one would without autotuner. Prints seconds and ratios;
decides nothing.

Usage: python tests/bench/genai_bench_calls.py TOKENIZER_FOLDER
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from autotuner.bench.base import Booted, LoadContext, Target
from autotuner.bench.chat_client import served_models
from autotuner.bench.genai_bench import GenaiBench, find_executable
from autotuner.spec.workload import Level, StopRule, Workload
from autotuner.supervision.environment import clean_environment

NAME = "bench-calls"
LEVELS = (1, 4, 8)
REQUESTS = 20


def wait_for(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    url = server.stdout.readline().split()[-1]
    while NAME not in served_models(url, timeout_s=5):
        time.sleep(0.05)
    return url


@dataclass
class Run:
    """Seconds of all calls together."""

    whole_s: float = 0.0
    load_s: float = 0.0
    gaps_s: list[float] = field(default_factory=list)
    """From the last end in a level to the first start in the next."""

    @property
    def beyond_s(self) -> float:
        return self.whole_s - self.load_s


def with_shim(
    target: Target, groups: list[tuple[int, ...]], *, ahead: bool = False, one_by_one: bool = False
) -> Run:
    """One call per group of levels.

    Args:
        ahead: The first call has booted before the clock starts.
        one_by_one: A level is not known before the one before has ended.
    """
    run = Run()
    with tempfile.TemporaryDirectory() as folder:
        context = LoadContext(Path(folder), clean_environment(), level_grace_s=60)
        workloads = [
            Workload(f"w{index}", "D(100,50)", group, StopRule(60, REQUESTS))
            for index, group in enumerate(groups)
        ]
        known = workloads[0].levels[: 1 if one_by_one else None]
        booted = boot(target, workloads[0], known, context) if ahead else None
        started = time.monotonic()
        for workload in workloads:
            levels = iter(workload.levels) if one_by_one else workload.levels
            ended = None
            for load in GenaiBench().run(target, workload, levels, context, booted):
                assert load.failure is None, load.failure
                assert load.started_at is not None
                level_s = max(record.ended_s or 0.0 for record in load.records)
                run.load_s += level_s
                if ended is not None:
                    run.gaps_s.append((load.started_at - ended).total_seconds())
                ended = load.started_at + timedelta(seconds=level_s)
            booted = None
    run.whole_s = time.monotonic() - started
    return run


def boot(
    target: Target, workload: Workload, levels: Sequence[Level], context: LoadContext
) -> Booted:
    call = GenaiBench().boot(target, workload, levels, context)
    while not list(context.folder.glob("bench-*/events.jsonl")):
        time.sleep(0.05)
    return call


def plain(target: Target) -> float:
    with tempfile.TemporaryDirectory() as folder:
        words = [
            *("--api-backend", target.backend, "--api-base", target.url, "--api-key", "none"),
            *("--task", "text-to-text", "--api-model-name", NAME),
            *("--model-tokenizer", target.tokenizer, "--traffic-scenario", "D(100,50)"),
            *("--max-time-per-run", "1", "--max-requests-per-run", str(REQUESTS)),
            *("--experiment-base-dir", folder, "--log-dir", folder),
        ]
        for level in LEVELS:
            words += ["--num-concurrency", str(level)]
        started = time.monotonic()
        subprocess.run(
            [str(find_executable(None)), "benchmark", *words],
            env=clean_environment(add={"ENABLE_UI": "false"}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        return time.monotonic() - started


def main(tokenizer: str) -> None:
    command = [sys.executable, "-m", "autotuner.engines.sim_server", "--model", NAME]
    command += ["--served-model-name", NAME, "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            target = Target(wait_for(server), NAME, str(Path(tokenizer).absolute()), "vllm")
            ahead = with_shim(target, [LEVELS], ahead=True)
            told = with_shim(target, [LEVELS], ahead=True, one_by_one=True)
            one = with_shim(target, [LEVELS])
            each = with_shim(target, [(level,) for level in LEVELS])
            bare = plain(target)
        finally:
            server.terminate()
    print(f"{len(LEVELS)} levels, {one.load_s:.1f} s of load")
    for name, run in (
        ("booted ahead", ahead),
        ("and told one by one", told),
        ("one call per workload", one),
        ("one call per level", each),
    ):
        gaps = ", ".join(f"{gap:.2f}" for gap in run.gaps_s) or "none"
        print(
            f"{name + ':':22} {run.whole_s:5.1f} s, {run.beyond_s:5.1f} s beyond the load; "
            f"gaps within a call: {gaps}"
        )
    print(f"plain genai-bench:     {bare:5.1f} s, {bare - one.load_s:5.1f} s beyond the load")
    print(f"per level / per workload: {each.beyond_s / one.beyond_s:.1f} times the cost")
    print(f"plain / per workload:     {(bare - one.load_s) / one.beyond_s:.1f} times the cost")


if __name__ == "__main__":
    main(*sys.argv[1:])
