"""Where the numbers come from: software, machines, dates, and what was asked for."""

from __future__ import annotations

import pandas as pd

from autotuner.report.markup import Markup, element, join, table
from autotuner.report.subject import Subject
from autotuner.report.wording import MISSING, counted, duration, time_text
from autotuner.results.schema import SCHEMA_VERSION
from autotuner.version import __version__

__all__ = ["provenance_section"]


def provenance_section(subject: Subject) -> Markup:
    """The section's content, without its heading."""
    study, attempts = subject.study, subject.attempts
    facts = [
        ("study", study.name),
        ("description", study.description or MISSING),
        ("study id", study.study_id),
        ("planned with", f"autotuner {study.autotuner_version}, {time_text(study.created_at)}"),
        ("report by", f"autotuner {__version__}, results of schema {SCHEMA_VERSION}"),
        ("measured", _period(attempts)),
        ("engine", _versions(attempts, "engine", "engine_version")),
        ("load generator", _versions(attempts, "bench", "bench_version")),
        ("model", _distinct(attempts, "model")),
        ("launcher", _distinct(attempts, "launcher")),
        *_image(attempts),
        ("niceness of the servers", _distinct(attempts, "nice")),
        ("levels", _levels(subject)),
        ("order", _order(subject)),
        *([("space", f"preset {', '.join(study.presets)}")] if study.presets else []),
    ]
    return join(
        [
            element(
                "dl",
                *(join([element("dt", name), element("dd", value)]) for name, value in facts),
            ),
            _hosts(attempts),
            element(
                "p",
                "The command of every server is in the table of all configurations, behind its "
                "details; secrets are masked when the results are written.",
                class_="fine",
            ),
        ]
    )


def _image(attempts: pd.DataFrame) -> list[tuple[str, str]]:
    """Only of servers that had one: what they are is no question elsewhere."""
    if attempts["image"].isna().all():
        return []
    return [("image", _versions(attempts, "image", "image_id"))]


def _period(attempts: pd.DataFrame) -> str:
    begin, end = attempts["started_at"].min(), attempts["ended_at"].max()
    if pd.isna(begin) or pd.isna(end):
        return "nothing yet"
    return (
        f"{time_text(begin)} to {time_text(end)} ({duration((end - begin).total_seconds())}), "
        f"{counted(len(attempts), 'attempt')}"
    )


def _versions(attempts: pd.DataFrame, name: str, version: str) -> str:
    pairs = attempts[[name, version]].drop_duplicates().dropna(subset=[name])
    texts = sorted(
        f"{row[name]} {row[version] if isinstance(row[version], str) else '(version unknown)'}"
        for row in pairs.to_dict("records")
    )
    return ", ".join(texts) or MISSING


def _distinct(attempts: pd.DataFrame, column: str) -> str:
    values = attempts[column].dropna().unique().tolist()
    shown = sorted(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
    return ", ".join(shown) or MISSING


def _levels(subject: Subject) -> str:
    owed = [level for e in subject.study.experiments for level in e.owed]
    repeats = max((level.repeat for level in owed), default=0)
    again = f", each measured {counted(repeats + 1, 'time')} per server" if repeats else ""
    listed = ", ".join(map(str, sorted({level.of_all_repeats for level in owed})))
    return "; ".join([*([listed + again] if owed else []), *_ranges(subject)])


def _ranges(subject: Subject) -> list[str]:
    """Of workloads whose load was to be found: between what."""
    found = {
        level for e in subject.study.experiments for level in e.levels if level.workload in e.found
    }
    spans: dict[str, list[int]] = {}
    for level in sorted(found):
        spans.setdefault(f"{level.workload} {level.scenario}", []).append(level.concurrency)
    return [f"{name}: the load was found between {c[0]} and {c[-1]}" for name, c in spans.items()]


def _order(subject: Subject) -> str:
    seed = subject.study.order_seed
    return "as planned" if seed is None else f"random, seed {seed}"


def _hosts(attempts: pd.DataFrame) -> Markup:
    rows = []
    for host, of_it in attempts.dropna(subset=["host"]).groupby("host"):
        devices = {d for ids in of_it["gpu_ids"] if ids is not None for d in ids}
        rows.append(
            (
                str(host),
                ", ".join(sorted(of_it["gpu_model"].dropna().unique())) or MISSING,
                ", ".join(sorted(of_it["gpu_driver"].dropna().unique())) or MISSING,
                f"{len(devices)}" if devices else MISSING,
                f"{len(of_it):,}",
                f"{(of_it['outcome'] == 'failed').sum():,}",
            )
        )
    headings = ("node", "GPU model", "driver", "GPUs used", "attempts", "of them failed")
    return table(headings, rows, caption="Nodes")
