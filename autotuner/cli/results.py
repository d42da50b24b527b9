"""Show a finished or running study: the ranking, what failed and why, where the time went."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from autotuner.cli.conclusions import print_findings, print_winner
from autotuner.cli.display import output_console
from autotuner.cli.tables import print_failures, print_ranking
from autotuner.cli.times import print_gpu_time, print_timings
from autotuner.results.confidence.verdict import Verdict
from autotuner.results.gpu_time import gpu_time
from autotuner.results.load import StudyResults, load_results
from autotuner.results.quality.inspection import inspect
from autotuner.results.score import Ranking, RankingEntry
from autotuner.results.seed_json import write_seed_json

__all__ = ["HELP", "NAME", "add_arguments", "execute"]

NAME = "results"
HELP = "show the ranking of a finished or running study"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory", metavar="DIR", help="results folder of the study, or s3://BUCKET/PREFIX"
    )
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
    print_gpu_time(results, console)
    print_findings(results, console, arguments.directory)
    print_winner(results, console)
    return 0


def ranking_json(results: StudyResults) -> dict[str, object]:
    """The ranking as plain values; missing numbers are null."""
    ranking = results.ranking()
    return {
        "study": results.study.name,
        "objective": ranking.objective,
        "direction": ranking.direction.value,
        "column": ranking.column,
        "unit": ranking.unit,
        "caveat": ranking.caveat,
        "verdict": _verdict(ranking.verdict, ranking),
        "search": _search(results),
        "entries": [_entry(entry) for entry in ranking.entries],
        "gpu_time": asdict(gpu_time(results.attempts.to_dict("records"))),
        "findings": [
            {
                "kind": finding.kind,
                "severity": finding.severity.value,
                "experiment_ids": list(finding.experiment_ids),
                "message": finding.message,
                "consequence": finding.consequence,
                "remedy": finding.remedy,
            }
            for finding in inspect(results)
        ],
    }


def _verdict(verdict: Verdict, ranking: Ranking) -> dict[str, object]:
    labels = {entry.experiment_id: entry.label for entry in ranking.entries}
    return {
        "kind": verdict.kind.value,
        "sentence": verdict.sentence(labels),
        "leader": verdict.leader,
        "tied_with": list(verdict.tied_with),
        "undecided": list(verdict.undecided),
        "repeats_needed": verdict.repeats_needed,
        "budget_spent": verdict.budget_spent,
        "advantages": {id_: asdict(bounds) for id_, bounds in verdict.advantages.items()},
        "noise_cv": verdict.noise_cv,
        "degrees_of_freedom": verdict.degrees_of_freedom,
        "confidence": verdict.confidence,
        "minimal_effect": verdict.minimal_effect,
    }


def _search(results: StudyResults) -> dict[str, object] | None:
    space = results.study.search
    if space is None:
        return None
    return {
        "strategy": space.strategy,
        "candidates": space.candidates,
        "combinations": space.combinations,
        "stopped": results.search_stopped,
        "sentence": results.search_sentence,
    }


def _entry(entry: RankingEntry) -> dict[str, object]:
    return {
        "rank": entry.rank,
        "experiment_id": entry.experiment_id,
        "label": entry.label,
        "is_baseline": entry.is_baseline,
        "status": entry.status.value,
        "value": entry.score.value,
        "penalty": entry.score.penalty,
        "effective": entry.score.effective,
        "interval": None if entry.interval is None else asdict(entry.interval),
        "samples": list(entry.score.samples),
        "servers": entry.servers,
        "vs_baseline": entry.vs_baseline,
        "level": entry.score.level,
        "reason": entry.score.reason,
    }
