"""A space of server flags with a known optimum: what the `sim` engine would do, without its waits.

Each level is played in the engine's own steps (`engines.sim_model`), closed loop, in simulated
time: as many users as its concurrency, each with one request in flight. Two parameters change
nothing, as most flags of a real engine do.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from autotuner.engines.sim_model import Batch, Request, Timing

__all__ = ["LEVELS", "Served", "Setting", "served", "settings"]

LEVELS = (1, 2, 4, 8, 16, 32, 64, 128)
_INPUT_TOKENS, _OUTPUT_TOKENS = 512, 64
_ROUNDS = 3
"""Requests of each user; the first is for warming up."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A point of the space."""

    tensor_parallel_size: int
    max_num_seqs: int
    max_num_batched_tokens: int
    block_size: int
    swap_space: int

    @property
    def parameters(self) -> dict[str, int]:
        return {
            "tensor-parallel-size": self.tensor_parallel_size,
            "max-num-seqs": self.max_num_seqs,
            "max-num-batched-tokens": self.max_num_batched_tokens,
            "block-size": self.block_size,
            "swap-space": self.swap_space,
        }


@dataclass(frozen=True, slots=True)
class Served:
    """What a level shows."""

    throughput_tok_s: float
    ttft_s: float
    tpot_s: float


def settings() -> Iterator[Setting]:
    """432 of them; 48 differ in what they do."""
    axes = ((1, 2, 4, 8), (4, 16, 64, 256), (256, 1024, 4096), (8, 16, 32), (0, 2, 4))
    for values in itertools.product(*axes):
        yield Setting(*values)


def served(setting: Setting, concurrency: int) -> Served:
    return _played(
        setting.tensor_parallel_size,
        setting.max_num_seqs,
        setting.max_num_batched_tokens,
        concurrency,
    )


@cache
def _played(tp: int, seqs: int, tokens: int, users: int) -> Served:
    timing, batch = Timing(tensor_parallel_size=tp), Batch(seqs, tokens)
    now, sent, firsts, finished = 0.0, {}, {}, []
    left = users * _ROUNDS
    for _ in range(users):
        request = Request(_INPUT_TOKENS, _OUTPUT_TOKENS)
        sent[id(request)] = (now, request)
        batch.add(request)
        left -= 1
    while batch.busy:
        step = batch.step()
        now += timing.step_s(step.decode_tokens, step.prefill_tokens)
        for request in step.emitted:
            firsts.setdefault(id(request), now)
            if not request.finished:
                continue
            finished.append((sent[id(request)][0], firsts[id(request)], now))
            if left:
                fresh = Request(_INPUT_TOKENS, _OUTPUT_TOKENS)
                sent[id(fresh)] = (now, fresh)
                batch.add(fresh)
                left -= 1
    steady = [one for one in finished[users:] if one[0] > 0] or finished
    wait_s = sum(first - began for began, first, _ in steady) / len(steady)
    make_s = sum(end - first for _, first, end in steady) / len(steady)
    whole_s = wait_s + make_s
    return Served(users * _OUTPUT_TOKENS / whole_s, wait_s, make_s / (_OUTPUT_TOKENS - 1))
