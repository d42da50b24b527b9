"""What a command prints in a running container: ``python -m … NAME [--daemon D] -- COMMAND…``.

A program of its own, so that a command that never ends, or a daemon that never answers, can be
given up. Ends with the command's exit status.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from docker.errors import APIError

from autotuner.launchers.docker.daemon import LOST, DockerFaultError, connected

__all__ = ["main"]

_NO_ANSWER = 125


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="question")
    parser.add_argument("name")
    parser.add_argument("--daemon")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    try:
        with connected(options.daemon) as client:
            made = client.api.exec_create(options.name, options.command, stderr=False)["Id"]
            sys.stdout.buffer.write(client.api.exec_start(made))
            return int(client.api.exec_inspect(made)["ExitCode"])
    except (DockerFaultError, APIError, *LOST):
        return _NO_ANSWER


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
