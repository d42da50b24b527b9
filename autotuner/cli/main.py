"""The ``autotuner`` program: parse, dispatch, turn exceptions into exit statuses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from autotuner.cli import (
    compare,
    doctor,
    engines,
    estimate,
    export,
    plan,
    report,
    results,
    run,
    stop,
)
from autotuner.errors import UserError
from autotuner.version import __version__

__all__ = ["main"]

EXIT_OK = 0
EXIT_USER_ERROR = 1
EXIT_INTERRUPTED = 130

_EXAMPLES = """\
examples:
  autotuner plan study.yaml                 what would be measured, with every command
  autotuner estimate study.yaml --gpu H100  what may come out of it, without a GPU
  autotuner run study.yaml                  measure it with a Ray started on this machine
  autotuner run study.yaml --address auto   ... on the Ray cluster of this node
  autotuner results results/my-study        the ranking, also while the study runs
  autotuner report results/my-study         the same as a page with charts
  autotuner export results/my-study --format kubernetes    the best one, to deploy
  autotuner compare results/old results/new    two studies, before and after an upgrade
  autotuner stop results/my-study           end it as Ctrl-C would, from another shell
  autotuner doctor study.yaml --address auto    what on the cluster spoils or stops it

exit status: 0 all well, 1 a mistake in the input, 2 no experiment succeeded, or all failed alike
and the study stopped early (doctor: a check failed), 130 interrupted
"""


class _Parser(argparse.ArgumentParser):
    """argparse exits with 2 on bad arguments, which here means that no experiment succeeded."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USER_ERROR, f"{self.prog}: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.execute(arguments)
    except UserError as error:
        print(f"autotuner: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:  # the second one: whatever still ran dies with this process
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `autotuner plan ... | head`
        sys.stderr.close()
        return EXIT_OK
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="autotuner",
        description="Finds the best configuration of an LLM inference server by measuring it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"autotuner {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (plan, estimate, run, results, report, export, compare, stop, doctor, engines):
        added = commands.add_parser(
            command.NAME,
            help=command.HELP,
            description=command.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(added)
        added.set_defaults(execute=command.execute)
    return parser


if __name__ == "__main__":
    sys.exit(main())
