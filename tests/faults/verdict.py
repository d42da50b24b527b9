"""Fills a row's cells from what a study has left: its rows, its processes, its course."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from faults.matrix import Column, Row
from faults.processes import ProcessWatch
from faults.studies import MARK_COLUMN, FaultStudy

import autotuner
from autotuner.spec.experiment import FailureKind

__all__ = [
    "Expected",
    "Stored",
    "judge_healthy",
    "judge_processes",
    "judge_results",
    "judge_resumed",
    "note_cleanup",
    "read_rows",
    "row_faults",
]

LEVEL = ["attempt_id", "workload", "scenario", "concurrency", "repeat"]
CLEAR_S = 10.0
"""From the end of a study until none of its processes may be left."""


@dataclass(frozen=True)
class Expected:
    """How the attempts of the faulty experiment must end, one outcome each.

    A failure kind stands for a failed attempt, ``"completed"`` for a complete one.
    """

    outcomes: tuple[str, ...]

    @staticmethod
    def of(*outcomes: FailureKind | str) -> Expected:
        return Expected(tuple(str(outcome) for outcome in outcomes))


@dataclass(frozen=True)
class Stored:
    """The rows on disk, read without the product's own choice of attempts."""

    experiments: pd.DataFrame
    levels: pd.DataFrame
    requests: pd.DataFrame
    expected_levels: int

    def of_mark(self, mark: str) -> pd.DataFrame:
        rows = self.experiments[self.experiments[MARK_COLUMN] == mark]
        return rows.sort_values("attempt")


def read_rows(study: FaultStudy) -> Stored:
    frames = []
    for name in ("experiments", "levels", "requests"):
        files = sorted((study.output / name).glob("[!.]*.parquet"))
        frames.append(
            pd.concat([pd.read_parquet(file) for file in files]) if files else pd.DataFrame()
        )
    record = autotuner.load_results(study.output).study
    experiments, levels, requests = frames
    return Stored(experiments, levels, requests, expected_levels=len(record.experiments[0].levels))


def row_faults(stored: Stored) -> list[str]:
    """What is wrong with the rows."""
    faults = []
    experiments, levels = stored.experiments, stored.levels
    for name, frame, key in (("experiment", experiments, ["attempt_id"]), ("level", levels, LEVEL)):
        for key_values in frame[frame.duplicated(key)][key].to_numpy().tolist():
            faults.append(f"two {name} rows for {key_values}")
    counts = levels["attempt_id"].value_counts().to_dict() if len(levels) else {}
    for attempt in experiments["attempt_id"]:
        if counts.get(attempt, 0) != stored.expected_levels:
            found = counts.get(attempt, 0)
            faults.append(f"{attempt} has {found} of {stored.expected_levels} level rows")
    for attempt in counts.keys() - set(experiments["attempt_id"]):
        faults.append(f"{attempt} has levels and no end")
    return faults + _request_faults(stored)


def _request_faults(stored: Stored) -> list[str]:
    measured = stored.levels[stored.levels["status"] == "ok"]
    if measured.empty:
        return []
    ended = stored.requests[stored.requests["status"] != "cut"]
    counts = ended.groupby(LEVEL).size().to_dict()
    return [
        f"level {key} counts {level['requests']} requests, has {counts.get(key, 0)} rows"
        for _, level in measured.iterrows()
        if counts.get(key := tuple(level[LEVEL]), 0) != level["requests"]
    ]


def judge_results(row: Row, study: FaultStudy, expected: Expected) -> Stored:
    """Failure kind, attempts, rows and the healthy experiments, of a study that has ended."""
    stored = read_rows(study)
    attempts = stored.of_mark(study.faulty_mark)
    outcomes = [
        kind if outcome == "failed" else outcome
        for outcome, kind in zip(attempts["outcome"], attempts["failure_kind"], strict=True)
    ]
    wanted = list(expected.outcomes)
    known = outcomes[: len(wanted)] == wanted[: len(outcomes)] and bool(outcomes)
    words = ", ".join(dict.fromkeys(wanted))
    why = "; ".join(str(m) for m in attempts["failure_message"] if isinstance(m, str))
    row.check(Column.KIND, known, words, f"{outcomes} instead of {wanted}: {why}")
    tries = list(attempts["attempt"]) == list(range(1, len(wanted) + 1))
    row.check(Column.TRIES, tries, str(len(wanted)), f"{len(attempts)}, not {len(wanted)}")
    faults = row_faults(stored)
    row.check(Column.ROWS, not faults, "ok", "; ".join(faults))
    judge_healthy(row, study, stored)
    return stored


def judge_healthy(row: Row, study: FaultStudy, stored: Stored) -> None:
    completed = stored.experiments[stored.experiments["outcome"] == "completed"]
    record = autotuner.load_results(study.output).study
    healthy = [
        experiment.id
        for experiment in record.experiments
        if study.faulty_mark not in experiment.parameters.values()
    ]
    missing = set(healthy) - set(completed["experiment_id"])
    failed = stored.experiments[stored.experiments["experiment_id"].isin(missing)]
    why = "; ".join(str(message) for message in failed["failure_message"])
    reason = f"{len(missing)} of {len(healthy)} healthy experiments did not complete: {why}"
    row.check(Column.WENT_ON, not missing, "ok", reason)


def judge_processes(row: Row, watch: ProcessWatch, patience_s: float = CLEAR_S) -> None:
    """Whether nothing that carries the study's mark is left."""
    cleared = watch.cleared(patience_s)
    left = "; ".join(f"{seen.pid} {seen.command[:100]}" for seen in watch.alive())
    row.check(Column.NO_PROCESS, cleared, "ok", f"{patience_s:g} s later there live: {left}")


def note_cleanup(row: Row, stored: Stored, study: FaultStudy, watch: ProcessWatch) -> None:
    """Seconds from the end of each faulty attempt's work until its last process was gone."""
    for _, attempt in stored.of_mark(study.faulty_mark).iterrows():
        last = watch.last_seen(attempt["attempt_id"])
        stopping = attempt.get("seconds_stop")
        if last is None or stopping is None or pd.isna(stopping):
            continue
        after = attempt.get("seconds_postflight")
        after = 0.0 if after is None or pd.isna(after) else after
        began = attempt["ended_at"].timestamp() - stopping - after
        row.cleanup_s.append(max(0.0, last - began))


def judge_resumed(row: Row, study: FaultStudy, status: int | None, output: str) -> None:
    """A study whose driver died, after the same command has run again."""
    row.check(Column.WENT_ON, status == 0, "resumed", f"exit status {status}: {output[-500:]}")
    stored = read_rows(study)
    judge_healthy(row, study, stored)
    faults = row_faults(stored)
    row.check(Column.ROWS, not faults, "ok", "; ".join(faults))
    completed = stored.experiments[stored.experiments["outcome"] == "completed"]
    ids = list(completed["experiment_id"])
    row.check(Column.TRIES, len(ids) == len(set(ids)), "resumed", "an experiment completed twice")
    row.does_not_apply(Column.KIND)
