"""Completions of the simulated server: what a body asks for, and the response as it grows."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from dataclasses import dataclass
from typing import Any

from autotuner.engines import sim_http as http
from autotuner.engines.sim_model import output_tokens, prompt_tokens

__all__ = ["CHAT", "COMPLETION", "Answer", "Ask", "BadRequestError"]

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"

_WORD = " token"
_COMPLETION_LIMIT = 16  # OpenAI's default for /v1/completions
_ids = itertools.count(1)


class BadRequestError(ValueError):
    """A body that asks for nothing this server could do; the message is for the client."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request asks for."""

    model: str
    prompt: str
    tokens: int
    """Tokens of the answer."""
    chat: bool
    streamed: bool
    with_usage: bool
    """Whether the stream ends with the token counts."""
    finish_reason: str

    @classmethod
    def read(cls, path: str, body: bytes) -> Ask:
        """Read the body of a request to ``path``.

        Raises:
            BadRequestError: with a sentence for the client.
        """
        try:
            asked = json.loads(body)
        except ValueError as error:
            raise BadRequestError(f"the body is not JSON: {error}") from error
        if not isinstance(asked, dict):
            raise BadRequestError("the body is not an object")
        chat = path == CHAT
        prompt = _chat_prompt(asked.get("messages")) if chat else _prompt(asked.get("prompt"))
        default = None if chat else _COMPLETION_LIMIT
        limit = _whole(asked, "max_tokens") or _whole(asked, "max_completion_tokens") or default
        tokens = output_tokens(prompt, limit, ignore_eos=bool(asked.get("ignore_eos")))
        options = asked.get("stream_options") or {}
        if not isinstance(options, dict):
            raise BadRequestError("stream_options must be an object")
        return cls(
            model=str(asked.get("model")),
            prompt=prompt,
            tokens=tokens,
            chat=chat,
            streamed=bool(asked.get("stream")),
            with_usage=bool(options.get("include_usage")),
            finish_reason="length" if tokens == limit else "stop",
        )


def _whole(asked: dict[str, Any], name: str) -> int | None:
    value = asked.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadRequestError(f"{name} must be at least 1")
    return value


def _chat_prompt(messages: object) -> str:
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages must be a list of at least one message")
    lines = []
    for message in messages:
        if not isinstance(message, dict):
            raise BadRequestError("a message must be an object")
        content = message.get("content")
        if isinstance(content, list):
            parts = [part for part in content if isinstance(part, dict)]
            content = "".join(str(part.get("text", "")) for part in parts)
        lines.append(str(content))
    return "\n".join(lines)


def _prompt(prompt: object) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise BadRequestError("prompt must be one string")
    return prompt


class Answer:
    """The response to one request, sent token by token as the batch makes them."""

    def __init__(
        self, ask: Ask, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._ask = ask
        self._reader, self._writer = reader, writer
        self._head = {
            "id": f"sim-{next(_ids)}",
            "object": "chat.completion" if ask.chat else "text_completion",
            "created": int(time.time()),
            "model": ask.model,
        }
        self.sent = 0
        self.done = asyncio.Event()
        if ask.streamed:
            # Rendered once: the work per token has to stay small.
            self._first = self._event({"role": "assistant", "content": _WORD})
            self._middle = self._event({"content": _WORD})
            self._last = self._event({"content": _WORD}, ask.finish_reason)
            writer.write(http.stream_head())

    @property
    def gone(self) -> bool:
        """Whether nobody waits for this answer any more."""
        return self._writer.transport.is_closing() or self._reader.at_eof()

    def token(self) -> None:
        """Send one token more."""
        self.sent += 1
        if self._ask.streamed and not self.gone:
            if self.sent == self._ask.tokens:
                self._writer.write(self._last)
            else:
                self._writer.write(self._first if self.sent == 1 else self._middle)
        if self.sent == self._ask.tokens:
            self.done.set()

    def stall(self) -> None:
        """Send a first token that is never the last, of a streamed answer."""
        if self._ask.streamed:
            self._writer.write(self._first)

    def finish(self) -> None:
        """Send what follows the last token; the whole answer where it is not streamed."""
        if not self._ask.streamed:
            text = _WORD * self.sent
            message = {"role": "assistant", "content": text}
            choice = {"message": message} if self._ask.chat else {"text": text}
            choices = [{"index": 0, **choice, "finish_reason": self._ask.finish_reason}]
            whole = {**self._head, "choices": choices, "usage": self._usage()}
            self._writer.write(http.json_response(whole))
            return
        if self._ask.with_usage:
            usage = {**self._chunk_head(), "choices": [], "usage": self._usage()}
            self._writer.write(http.event(usage))
        self._writer.write(http.end_of_stream())

    def _event(self, delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        content = {"delta": delta} if self._ask.chat else {"text": delta["content"]}
        choices = [{"index": 0, **content, "finish_reason": finish_reason}]
        return http.event({**self._chunk_head(), "choices": choices})

    def _chunk_head(self) -> dict[str, Any]:
        if not self._ask.chat:
            return self._head
        return {**self._head, "object": "chat.completion.chunk"}

    def _usage(self) -> dict[str, int]:
        read = prompt_tokens(self._ask.prompt)
        return {
            "prompt_tokens": read,
            "completion_tokens": self.sent,
            "total_tokens": read + self.sent,
        }
