"""How long a level has gone without a token: what tells a hung server from a slow one."""

from __future__ import annotations

import time

__all__ = ["Silence"]


class Silence:
    """Time since the last token for anyone, and since the last word of who loads the server.

    Its start counts as a sign of life. May be told from any thread.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.token()

    def token(self) -> None:
        """A token came, or a request ended."""
        self._token_at = self._word_at = time.monotonic()

    def word(self) -> None:
        """The load generator lives; of tokens it has none to report."""
        self._word_at = time.monotonic()

    @property
    def too_long(self) -> bool:
        return time.monotonic() - self._token_at > self.limit_s

    @property
    def of_the_server(self) -> bool:
        """Whether the load generator is known to live, so that the silence is not its own."""
        return time.monotonic() - self._word_at < self.limit_s / 2

    @property
    def failure(self) -> str:
        """Why a level is given up for it."""
        return f"no request received a token or ended {self.duration}"

    @property
    def duration(self) -> str:
        return f"for {self.limit_s:g} s (timeouts.no_token_s)"
