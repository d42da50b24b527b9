"""How the simulated engine spends time: continuous batching in steps. Pure; no clock, no socket.

Each step makes one token for every running request whose prompt has been read, and reads
chunks of the prompts of the others. It takes, in seconds,

    step_s = noise * (base_s + per_decode_token_s * D + per_prefill_token_s * P) / TP ** 0.8

D     tokens made for running requests (one each)
P     prompt tokens read; D + P is at most max_num_batched_tokens
TP    tensor parallel size
noise 1 without ``noise_cv``; else log-normal with mean 1 and that coefficient of variation

At most ``max_num_seqs`` requests run; the others wait, first come, first served. The step that
reads the last of a prompt also makes that request's first token.

So a small ``max_num_seqs`` gives long queues (time to first token) and fast tokens, a large one
gives throughput and slower tokens, and ``max_num_batched_tokens`` trades the time to first
token against the time between tokens. The defaults are those of no hardware in particular.

A prompt token is four characters of the prompt, the last one rounded up. With prefix caching,
blocks of 16 prompt tokens that an earlier prompt began with cost nothing; the cache has no
limit, and at least one token of each prompt is read.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import deque
from dataclasses import dataclass, field

__all__ = [
    "Batch",
    "PrefixCache",
    "Request",
    "Step",
    "Timing",
    "noise_factor",
    "output_tokens",
    "prompt_tokens",
]

CHARACTERS_PER_TOKEN = 4
BLOCK_TOKENS = 16
SHORTEST_ANSWER = 16
LONGEST_ANSWER = 256


@dataclass(frozen=True, slots=True)
class Timing:
    """Costs of a step on one device, in seconds."""

    base_s: float = 0.004
    per_decode_token_s: float = 0.0003
    per_prefill_token_s: float = 0.00005
    tensor_parallel_size: int = 1

    def step_s(self, decode_tokens: int, prefill_tokens: int) -> float:
        """Duration of a step without noise, in seconds."""
        cost = self.base_s
        cost += self.per_decode_token_s * decode_tokens
        cost += self.per_prefill_token_s * prefill_tokens
        return float(cost / self.tensor_parallel_size**0.8)


@dataclass(eq=False, slots=True)
class Request:
    """A request on its way through the batch; changed by it."""

    prefill_left: int
    """Prompt tokens not yet read; at least 1 at the start."""
    output_left: int
    """Tokens not yet made; at least 1 at the start."""

    @property
    def finished(self) -> bool:
        return self.output_left == 0


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it costs, and the requests that have one token more at its end."""

    decode_tokens: int
    prefill_tokens: int
    emitted: tuple[Request, ...]


@dataclass(slots=True)
class Batch:
    """The requests that wait and those that run."""

    max_num_seqs: int
    max_num_batched_tokens: int
    waiting: deque[Request] = field(default_factory=deque)
    running: list[Request] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.running)

    def add(self, request: Request) -> None:
        self.waiting.append(request)

    def remove(self, request: Request) -> None:
        """Forget a request whose client has gone."""
        if request in self.running:
            self.running.remove(request)
        elif request in self.waiting:
            self.waiting.remove(request)

    def step(self) -> Step:
        """Admit what fits, read and make tokens, and let go of what is finished."""
        while self.waiting and len(self.running) < self.max_num_seqs:
            self.running.append(self.waiting.popleft())
        decoding = [request for request in self.running if request.prefill_left == 0]
        budget = self.max_num_batched_tokens - len(decoding)
        emitted = list(decoding)
        prefill_tokens = 0
        for request in self.running:
            if request.prefill_left == 0 or budget <= 0:
                continue
            chunk = min(budget, request.prefill_left)
            request.prefill_left -= chunk
            budget -= chunk
            prefill_tokens += chunk
            if request.prefill_left == 0:
                emitted.append(request)
        for request in emitted:
            request.output_left -= 1
        self.running = [request for request in self.running if not request.finished]
        return Step(len(decoding), prefill_tokens, tuple(emitted))


class PrefixCache:
    """Remembers the blocks that prompts began with."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def uncached_tokens(self, prompt: str) -> int:
        """Tokens of the prompt that have to be read, at least 1; remembers the prompt."""
        total = prompt_tokens(prompt)
        block_characters = BLOCK_TOKENS * CHARACTERS_PER_TOKEN
        chain = hashlib.blake2b(digest_size=16)
        cached = 0
        matching = True
        for start in range(0, len(prompt) - block_characters + 1, block_characters):
            chain.update(prompt[start : start + block_characters].encode())
            key = chain.digest()
            matching = matching and key in self._seen
            cached += BLOCK_TOKENS if matching else 0
            self._seen.add(key)
        return max(1, total - cached)


def prompt_tokens(prompt: str) -> int:
    """Tokens of a prompt, at least 1."""
    return max(1, math.ceil(len(prompt) / CHARACTERS_PER_TOKEN))


def output_tokens(prompt: str, limit: int | None, *, ignore_eos: bool) -> int:
    """Tokens of the answer, at least 1.

    With ``ignore_eos``, exactly ``limit``. Otherwise the answer ends by itself after 16 to 256
    tokens, always the same number for the same prompt, if the limit does not come first.
    """
    if limit is not None and ignore_eos:
        return max(1, limit)
    digest = hashlib.blake2b(prompt.encode(), digest_size=4).digest()
    span = LONGEST_ANSWER - SHORTEST_ANSWER + 1
    natural = SHORTEST_ANSWER + int.from_bytes(digest, "big") % span
    return natural if limit is None else max(1, min(natural, limit))


def noise_factor(generator: random.Random, cv: float) -> float:
    """A factor of mean 1 and coefficient of variation ``cv``; exactly 1 where that is 0."""
    if cv == 0:
        return 1.0
    sigma = math.sqrt(math.log1p(cv * cv))
    return generator.lognormvariate(-sigma * sigma / 2, sigma)
