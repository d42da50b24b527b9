"""Stands in for genai-bench's interpreter, to fail on demand in ways that a program can.

HF_FAULT_BENCH says how; anything else than a fault's name is a run in good health, with made-up
numbers.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

__all__: list[str] = []


def _emit(line: str) -> None:
    with Path(json.loads(os.environ["AUTOTUNER_SHIM"])["events"]).open("a") as events:
        events.write(line + "\n")


def _event(name: str, **fields: object) -> None:
    _emit(json.dumps({"event": name, **fields}))


def _level(concurrency: int) -> None:
    _event("level_started", concurrency=concurrency, clock=time.monotonic(), time=time.time())
    match os.environ.get("HF_FAULT_BENCH"):
        case "hangs":
            time.sleep(3600)
        case "writes broken JSON":
            _emit('{"event": "request", "started": 12.')
            time.sleep(3600)
    for _ in range(3):
        started = time.monotonic()
        time.sleep(0.05)
        ended = time.monotonic()
        tokens = {"input_tokens": 16, "output_tokens": 8, "reasoning_tokens": None}
        _event("request", started=started, first=started + 0.01, ended=ended, **tokens)
    _event("level_finished")


def main(words: list[str]) -> None:
    if "benchmark" not in words:
        print("0.0.5")  # the version was asked for
        return
    if os.environ.get("HF_FAULT_BENCH") == "writes nothing":
        return
    for number, word in enumerate(words):
        if word == "--num-concurrency":
            _level(int(words[number + 1]))


if __name__ == "__main__":
    main(sys.argv[1:])
