"""Write the best configuration down as something to deploy.

Also while the study runs. What it writes says in its first lines how sure it is that this
configuration is the best. Secrets are never written: they become references.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from autotuner.errors import UserError
from autotuner.export.deployment import Options, deployment_of
from autotuner.export.formats import Format, written
from autotuner.export.selection import select
from autotuner.results.load import load_results

__all__ = ["HELP", "NAME", "add_arguments", "execute"]

NAME = "export"
HELP = "the best configuration as a shell script, container, manifest or JSON"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory", metavar="DIR", help="results folder of the study, or s3://BUCKET/PREFIX"
    )
    parser.add_argument(
        "--format",
        required=True,
        choices=[one.value for one in Format],
        metavar="F",
        help=", ".join(Format),
    )
    parser.add_argument(
        "--experiment",
        metavar="ID",
        help="this one instead of the best; the beginning of its id will do",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    parser.add_argument("--image", help="container image; default: the engine's, as measured")
    parser.add_argument(
        "--served-name",
        metavar="NAME",
        help="name of the model for clients; default: the model's own",
    )
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    parser.add_argument(
        "--name",
        help="of the container or the cluster's objects; default: made from the model's name",
    )


def execute(arguments: argparse.Namespace) -> int:
    selection = select(load_results(arguments.directory), arguments.experiment)
    options = Options(
        port=arguments.port,
        served_name=arguments.served_name,
        image=arguments.image,
        name=arguments.name,
    )
    format_ = Format(arguments.format)
    text = written(deployment_of(selection, options), format_)
    for doubt in selection.doubts:
        print(f"autotuner: {doubt}", file=sys.stderr)
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        _write(arguments.output, text, executable=format_.is_script)
    return 0


def _write(path: Path, text: str, *, executable: bool) -> None:
    try:
        path.write_text(text, encoding="utf-8")
        if executable:
            path.chmod(0o755)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
