"""What `genai_bench_shim` changes about genai-bench's levels; like it, run in its environment.

They are those of its command line. Here: then those that a file tells, which grows while the
program runs, so that the numbers of a level can decide which is next.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

_POLL_S = 0.05


def go_on(command: Any, told: Path) -> None:
    """Have the command wait for more levels behind its own, without end.

    Args:
        command: genai-bench's own, a click command.
        told: A file with a line for each level, its concurrency; it need not be there yet.
    """
    run = command.callback

    def callback(*args: Any, **parameters: Any) -> Any:
        levels = _Levels(parameters.pop("num_concurrency"))
        levels.told = told
        return run(*args, num_concurrency=levels, **parameters)

    command.callback = callback


class _Levels(tuple[int, ...]):
    """For whoever goes through them one by one; a tuple of those known to whoever looks ahead."""

    told: Path

    def __iter__(self) -> Iterator[int]:
        import gevent

        yield from super().__iter__()
        taken = 0
        while True:
            text = self.told.read_text() if self.told.exists() else ""
            lines = text[: text.rfind("\n") + 1].splitlines()
            if len(lines) > taken:
                yield int(lines[taken])
                taken += 1
            else:
                gevent.sleep(_POLL_S)
