"""What reading a model ahead saves of a server's start, on this machine's disk.

A stand-in for a server imports for some seconds, and reads 2 GiB of weights then, page by page
through a memory map, as engines do. The files are put out of memory before each start. Prints
seconds; decides nothing.

Usage: python tests/bench/model_reading.py EMPTY_FOLDER
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from autotuner.node.page_cache import reading_ahead

IMPORTS_S = 6.0
STARTS = 3
SERVER = f"""
import mmap, sys, time
time.sleep({IMPORTS_S})
started = time.monotonic()
for path in sys.argv[1:]:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as weights:
        for place in range(0, len(weights), 4096):
            weights[place]
print(f"{{time.monotonic() - started:.1f}}")
"""


def make_model(folder: Path) -> list[Path]:
    block, files = os.urandom(2**24), []
    for number in range(4):
        files.append(folder / f"model-{number}.safetensors")
        with files[-1].open("wb") as out:
            for _ in range(32):
                out.write(block)
            os.fsync(out.fileno())
    return files


def start(folder: Path, files: list[Path], *, ahead: bool) -> str:
    for path in files:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    started = time.monotonic()
    command = [sys.executable, "-c", SERVER, *map(str, files)]
    reading = reading_ahead(str(folder)) if ahead else nullcontext()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, reading:
        read_s = server.communicate()[0].strip()
    name = "read ahead" if ahead else "by the server alone"
    return f"{name:20} start {time.monotonic() - started:5.1f} s, the model {read_s:>4} s of it"


def main(name: str) -> None:
    folder = Path(name).absolute()
    files = make_model(folder)
    for _ in range(STARTS):
        for ahead in (False, True):
            print(start(folder, files, ahead=ahead), flush=True)
    for path in files:
        path.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
