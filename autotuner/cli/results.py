"""Show a finished or running study: the ranking, what failed and why, where the time went."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from autotuner.cli.display import output_console
from autotuner.cli.tables import print_failures, print_ranking, print_timings, print_winner
from autotuner.results.load import StudyResults, load_results
from autotuner.results.seed_json import write_seed_json

__all__ = ["HELP", "NAME", "add_arguments", "execute"]

NAME = "results"
HELP = "show the ranking of a finished or running study"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="DIR", help="results folder of the study")
    parser.add_argument("--timings", action="store_true", help="seconds per phase and experiment")
    parser.add_argument("--json", action="store_true", help="the ranking as JSON, for scripts")
    parser.add_argument(
        "--export-seed-json",
        type=Path,
        metavar="FILE",
        help="write the results to FILE in the layout of the first autotuner's result files",
    )


def execute(arguments: argparse.Namespace) -> int:
    results = load_results(arguments.directory)
    if arguments.export_seed_json is not None:
        write_seed_json(results, arguments.export_seed_json)
    if arguments.json:
        print(json.dumps(ranking_json(results), indent=2, allow_nan=False))
        return 0
    console = output_console()
    print_ranking(results, console)
    print_failures(results, console)
    if arguments.timings:
        print_timings(results, console)
    print_winner(results, console)
    return 0


def ranking_json(results: StudyResults) -> dict[str, object]:
    """The ranking as plain values; missing numbers are null."""
    ranking = results.ranking()
    return {
        "study": results.study.name,
        "objective": ranking.objective,
        "column": ranking.column,
        "unit": ranking.unit,
        "caveat": ranking.caveat,
        "entries": [
            {
                "rank": entry.rank,
                "experiment_id": entry.experiment_id,
                "label": entry.label,
                "status": entry.status.value,
                "value": entry.score.value,
                "level": entry.score.level,
                "reason": entry.score.reason,
            }
            for entry in ranking.entries
        ],
    }
