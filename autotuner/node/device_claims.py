"""Which attempt of this node has a device, whoever's driver and whichever Ray it belongs to.

Ray keeps the books of one cluster. Two that were started on one machine both count all of its
devices, and two servers that start on a device at the same moment both find its memory free.
"""

from __future__ import annotations

import errno
import socket

__all__ = ["DeviceClaims"]


class DeviceClaims:
    """The devices that one attempt has claimed.

    A claim is a socket with an abstract name, which belongs to no file and no user: the kernel
    lets one process of a network namespace have it, and drops it with that process.
    """

    def __init__(self) -> None:
        self._held: dict[str, socket.socket] = {}

    def take(self, uuid: str) -> bool:
        """Whether the device of this UUID is ours now; False where another attempt has it."""
        if uuid in self._held:
            return True
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0autotuner-device-{uuid}")
        except OSError as error:
            claim.close()
            # Where such names are forbidden, no device is guarded, as without them.
            return error.errno != errno.EADDRINUSE
        self._held[uuid] = claim
        return True

    def release(self) -> None:
        """Let go of all of them."""
        while self._held:
            self._held.popitem()[1].close()
