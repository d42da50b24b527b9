"""The configuration, its numbers and where they come from, for other programs."""

from __future__ import annotations

import json
from dataclasses import asdict

from autotuner.export.deployment import Deployment
from autotuner.export.selection import Selection
from autotuner.export.words import SecretRef, Word, masked_flags, masked_parameters
from autotuner.supervision.environment import MASK
from autotuner.version import __version__

__all__ = ["json_record"]

FORMAT_VERSION = 1
_CIRCUMSTANCES = (
    "engine_version",
    "image",
    "image_id",
    "gpu_model",
    "bench",
    "bench_version",
    "host",
)


def json_record(deployment: Deployment) -> str:
    """One JSON object; missing numbers are null, secrets are named and never told."""
    selection = deployment.selection
    content = {
        "format_version": FORMAT_VERSION,
        "experiment_id": selection.experiment.id,
        "label": selection.label,
        "is_baseline": selection.experiment.is_baseline,
        "parameters": masked_parameters(selection.experiment.parameters),
        "server": _server(deployment),
        "result": _result(selection),
        "verdict": _verdict(selection),
        "provenance": _provenance(selection),
    }
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _server(deployment: Deployment) -> dict[str, object]:
    server = deployment.server
    environment = deployment.environment
    return {
        "engine": server.engine,
        "launcher": server.launcher,
        "model": server.model.path,
        "tokenizer": server.model.tokenizer,
        "served_name": deployment.served_name,
        "port": deployment.options.port,
        "gpus": deployment.gpus,
        "flags": masked_flags(server),
        "environment": {n: w for n, w in environment.items() if not isinstance(w, SecretRef)},
        "secrets": list(deployment.secrets),
        "command": [_shown(word) for word in deployment.command_on_host],
    }


def _result(selection: Selection) -> dict[str, object]:
    entry, ranking = selection.entry, selection.ranking
    return {
        "rank": entry.rank,
        "status": entry.status.value,
        "reason": entry.score.reason or None,
        "objective": ranking.objective,
        "direction": ranking.direction.value,
        "column": ranking.column,
        "unit": ranking.unit,
        "level": entry.score.level,
        "value": entry.score.value,
        "penalty": entry.score.penalty,
        "effective_value": entry.score.effective,
        "value_per_server": list(entry.score.samples),
        "vs_baseline": entry.vs_baseline,
        "metrics": {name: asdict(metric) for name, metric in selection.metrics.items()},
        "caveat": ranking.caveat,
    }


def _verdict(selection: Selection) -> dict[str, object]:
    verdict = selection.ranking.verdict
    return {
        "sentence": selection.verdict_sentence,
        "kind": verdict.kind.value,
        "is_winner": selection.is_winner,
        "doubts": list(selection.doubts),
        "leader": verdict.leader,
        "tied_with": list(verdict.tied_with),
        "undecided": list(verdict.undecided),
        "repeats_needed": verdict.repeats_needed,
        "advantages": {rival: asdict(interval) for rival, interval in verdict.advantages.items()},
        "confidence": verdict.confidence,
        "minimal_effect": verdict.minimal_effect,
    }


def _provenance(selection: Selection) -> dict[str, object]:
    study = selection.study
    return {
        "study": study.name,
        "study_id": study.study_id,
        "created_at": study.created_at.isoformat(),
        "simulated": selection.simulated,
        "attempts": [row["attempt_id"] for row in selection.rows],
        **{column: list(selection.measured(column)) for column in _CIRCUMSTANCES},
        "measured_by": f"autotuner {study.autotuner_version}",
        "exported_by": f"autotuner {__version__}",
    }


def _shown(word: Word) -> str:
    return MASK if isinstance(word, SecretRef) else word
