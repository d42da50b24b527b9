"""Write a study's report: one HTML file that opens anywhere, offline."""

from __future__ import annotations

import argparse
from pathlib import Path

from autotuner.errors import OutputError
from autotuner.results.place import Place, place_of

__all__ = ["HELP", "NAME", "add_arguments", "execute"]

NAME = "report"
HELP = "write a study's report as one HTML file"
_FILE = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory", metavar="DIR", help="results folder of the study, or s3://BUCKET/PREFIX"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help=f"where to write it (default: DIR/{_FILE})"
    )
    parser.add_argument(
        "--png",
        action="store_true",
        help="also each chart as a PNG beside it; needs Chromium or Chrome",
    )


def execute(arguments: argparse.Namespace) -> int:
    # Not at import time: no other command needs what draws charts.
    from autotuner.report.images import write_images
    from autotuner.report.page import write_report

    folder = place_of(arguments.directory)
    target: Place = arguments.output or folder / _FILE
    drawn = target if arguments.png else None
    if drawn is not None and not isinstance(drawn, Path):
        raise OutputError("--png draws on this machine: name a local file with --output")
    write_report(folder, target)
    print(target)
    if drawn is not None:
        for image in write_images(drawn):
            print(image)
    return 0
