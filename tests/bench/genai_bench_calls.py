"""What a genai-bench call costs beyond the load: one call per workload against one per level.

Both run the same levels against the simulated server, one call per workload also with the boot
ahead that an attempt lets run beside its server's start. A last run calls the plain program, as one
would without autotuner. Prints seconds and ratios; decides nothing.

Usage: python tests/bench/genai_bench_calls.py TOKENIZER_FOLDER
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from autotuner.bench.base import Booted, LoadContext, Target
from autotuner.bench.chat_client import served_models
from autotuner.bench.genai_bench import GenaiBench, find_executable
from autotuner.spec.workload import StopRule, Workload
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


def with_shim(
    target: Target, groups: list[tuple[int, ...]], *, ahead: bool = False
) -> tuple[float, float]:
    """Seconds in all, and seconds of load, of one call per group of levels.

    Args:
        ahead: The first call has booted before the clock starts.
    """
    load_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        context = LoadContext(Path(folder), clean_environment(), level_grace_s=60)
        workloads = [
            Workload(f"w{index}", "D(100,50)", group, StopRule(60, REQUESTS))
            for index, group in enumerate(groups)
        ]
        booted = boot(target, workloads[0], context) if ahead else None
        started = time.monotonic()
        for workload in workloads:
            levels = workload.levels
            for load in GenaiBench().run(target, workload, levels, context, booted):
                assert load.failure is None, load.failure
                load_s += max(record.ended_s or 0.0 for record in load.records)
            booted = None
    return time.monotonic() - started, load_s


def boot(target: Target, workload: Workload, context: LoadContext) -> Booted:
    call = GenaiBench().boot(target, workload, workload.levels, context)
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
            ahead, ahead_load_s = with_shim(target, [LEVELS], ahead=True)
            one, load_s = with_shim(target, [LEVELS])
            each, each_load_s = with_shim(target, [(level,) for level in LEVELS])
            bare = plain(target)
        finally:
            server.terminate()
    print(f"{len(LEVELS)} levels, {load_s:.1f} s of load")
    beyond_s = ahead - ahead_load_s
    print(f"booted ahead:          {ahead:5.1f} s, {beyond_s:5.1f} s beyond the load")
    print(f"one call per workload: {one:5.1f} s, {one - load_s:5.1f} s beyond the load")
    print(f"one call per level:    {each:5.1f} s, {each - each_load_s:5.1f} s beyond the load")
    print(f"plain genai-bench:     {bare:5.1f} s, {bare - load_s:5.1f} s beyond the load")
    print(f"per level / per workload: {(each - each_load_s) / (one - load_s):.1f} times the cost")
    print(f"plain / per workload:     {(bare - load_s) / (one - load_s):.1f} times the cost")


if __name__ == "__main__":
    main(*sys.argv[1:])
