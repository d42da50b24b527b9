"""Write a study's report: one HTML file that opens anywhere, offline."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["HELP", "NAME", "add_arguments", "execute"]

NAME = "report"
HELP = "write a study's report as one HTML file"
_FILE = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="DIR", help="results folder of the study")
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

    target = arguments.output or arguments.directory / _FILE
    write_report(arguments.directory, target)
    print(target)
    if arguments.png:
        for image in write_images(target):
            print(image)
    return 0
