"""What is said at the top of everything that is exported."""

from __future__ import annotations

from autotuner.export.selection import Selection
from autotuner.export.words import one_line
from autotuner.results.experiments import cpu_set
from autotuner.version import __version__

__all__ = ["header_of", "metric_text"]

_MEASURED_WITH = ("engine_version", "image", "image_id", "gpu_model", "bench_version")


def header_of(selection: Selection) -> tuple[str, ...]:
    """Lines without comment signs, each really one line: values of a study may hold anything."""
    study, experiment = selection.study, selection.experiment
    lines = [
        f"study {study.name} (id {study.study_id}), experiment {experiment.id}: {selection.label}",
        *selection.doubts,
        f"verdict: {selection.verdict_sentence}",
        metric_text(selection),
        _circumstances(selection),
        f"measured {study.created_at:%Y-%m-%d} by autotuner {study.autotuner_version}, "
        f"exported by autotuner {__version__}",
    ]
    return tuple(one_line(line) for line in lines if line)


def metric_text(selection: Selection) -> str:
    """The score in words; empty where there is none."""
    score, ranking = selection.entry.score, selection.ranking
    if score.value is None:
        return ""
    level = f" at {score.level}" if score.level else ""
    bounds = selection.metrics.get(ranking.column)
    between = ""
    if bounds is not None and bounds.low is not None and bounds.high is not None:
        between = f" ({bounds.low:.4g} to {bounds.high:.4g} {bounds.bounds})"
    return f"{ranking.column} {score.value:.4g} {score.unit}{between}{level}"


def _circumstances(selection: Selection) -> str:
    server = selection.experiment.server
    parts = [f"engine {server.engine}"] if server else []
    for column in _MEASURED_WITH:
        if values := selection.measured(column):
            parts.append(f"{column.replace('_', ' ')} {', '.join(values)}")
    footprint = selection.experiment.footprint
    pinned = cpu_set(footprint.cpus.server) if footprint else None
    if pinned is not None:
        parts.append(f"server pinned to CPUs {pinned} (not done here)")
    return "measured with " + ", ".join(parts) if parts else ""
