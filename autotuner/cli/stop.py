"""Stop the study that runs in a results folder, as Ctrl-C in its own terminal would.

Its servers end, its results stay, and the command that ran it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys

from autotuner.results.files import ResultPaths
from autotuner.results.place import place_of
from autotuner.results.stop_request import ask_to_stop
from autotuner.results.store import read_study

__all__ = ["HELP", "NAME", "add_arguments", "execute"]

NAME = "stop"
HELP = "stop the study that runs in a results folder"

EXIT_STILL_RUNNING = 2
_TIMEOUT_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="DIR", help="results folder of the study, or s3://BUCKET/PREFIX"
    )


def execute(arguments: argparse.Namespace) -> int:
    paths = ResultPaths(place_of(arguments.folder))
    study = read_study(paths)
    if ask_to_stop(paths, _TIMEOUT_S):
        print(f"{study.name} has stopped; its results are kept in {paths.root}")
        return 0
    print(
        f"{study.name} was asked to stop and still runs after {_TIMEOUT_S:.0f} s; "
        f"{paths.root}/.writer names its process",
        file=sys.stderr,
    )
    return EXIT_STILL_RUNNING
