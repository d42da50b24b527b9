"""Ranks of the simulated server: what nodes that serve together do to each other, without a model.

Every rank but 0 joins rank 0 over TCP and stays connected. Rank 0 serves once all have joined. As
in a collective operation, a request is served when every rank has agreed to it: one that hangs
holds up all requests. A rank whose connection breaks ends with an error, and so does rank 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from typing import NoReturn

from autotuner.engines.sim_faults import Faults, Verdict

__all__ = ["Followers", "follow"]

_RETRY_S = 0.1
_TO_NOTICE_S = 0.5
"""Engines take at least as long to end over the loss of a rank."""
_ALONE = 1
"""Exit status of a rank that has lost another."""


class Followers:
    """The other ranks, as rank 0 sees them; all methods belong to one event loop."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._agreed: dict[int, int] = {}
        """Rank -> the last request that it has agreed to."""
        self._writers: list[asyncio.StreamWriter] = []
        self._change = asyncio.Condition()

    async def gather(self, address: str, port: int) -> None:
        """Wait until all have joined.

        Raises:
            OSError: the port is taken.
        """
        if not self._count:
            return
        print(f"waiting for {self._count} ranks on {address}:{port}", flush=True)
        self._server = await asyncio.start_server(self._joined, address, port)
        async with self._change:
            await self._change.wait_for(lambda: len(self._agreed) == self._count)

    async def agree(self, number: int) -> None:
        """Wait until all have agreed to the ``number``-th request."""
        for writer in self._writers:
            writer.write(f"{number}\n".encode())
        async with self._change:
            await self._change.wait_for(
                lambda: all(agreed >= number for agreed in self._agreed.values())
            )

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            rank = int(await reader.readline())
            print(f"rank {rank} has joined", flush=True)
            self._writers.append(writer)
            await self._note(rank, 0)
            while line := await reader.readline():
                await self._note(rank, int(line))
        _end_without(rank)

    async def _note(self, rank: int, agreed: int) -> None:
        async with self._change:
            self._agreed[rank] = agreed
            self._change.notify_all()


async def follow(rank: int, address: str, port: int, faults: Faults) -> NoReturn:
    """Join rank 0, and agree to its requests until its connection breaks."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(address, port)
            break
        except OSError:  # not there yet
            await asyncio.sleep(_RETRY_S)
    print(f"rank {rank} has joined {address}:{port}", flush=True)
    with contextlib.suppress(ConnectionError):
        writer.write(f"{rank}\n".encode())
        while line := await reader.readline():
            match faults.verdict(int(line)):
                case Verdict.CRASH:
                    faults.crash()
                case Verdict.FILL_DISK:
                    faults.fill_the_disk()
                case Verdict.HANG | Verdict.STALL:
                    continue
            writer.write(line)
    _end_without(0)


def _end_without(rank: int) -> NoReturn:
    print(f"rank {rank} is gone (simulated)", file=sys.stderr, flush=True)
    time.sleep(_TO_NOTICE_S)
    os._exit(_ALONE)
