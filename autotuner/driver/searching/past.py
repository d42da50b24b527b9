"""What earlier runs of a study have to tell its search."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd

from autotuner.driver.searching.spending import Spent, busy_s
from autotuner.results.load import StudyResults
from autotuner.results.measured import Measured
from autotuner.search.base import Ended, Told
from autotuner.spec.experiment import Purpose

__all__ = ["SearchPast", "search_past"]

_ENDED = {"completed": Ended.COMPLETED, "pruned": Ended.PRUNED}


@dataclass(frozen=True, slots=True)
class SearchPast:
    """Everything that a results folder says of a search."""

    told: tuple[Told, ...] = ()
    """Of each experiment that is settled, in the order of their ends."""
    spent: Spent = Spent()  # noqa: RUF009 - a frozen value


def search_past(results: StudyResults, to_do: Collection[str]) -> SearchPast:
    """Read it from the results.

    Args:
        to_do: Ids of experiments that were begun, and are not settled.
    """
    rows = results.attempts
    rows = rows[rows["purpose"] == Purpose.SEARCH.value]
    ended = rows.groupby("experiment_id")["ended_at"].max().sort_values()
    settled = [str(id_) for id_ in ended.index if str(id_) not in to_do]
    told = tuple(_told(id_, results.measured) for id_ in settled)
    spans = rows[["started_at", "ended_at"]].dropna()
    spent = Spent(
        rows["experiment_id"].nunique(),
        float((rows["gpus_reserved"] * rows["seconds_reserved"]).fillna(0.0).sum()),
        busy_s(zip(_times(spans["started_at"]), _times(spans["ended_at"]), strict=True)),
    )
    return SearchPast(told, spent)


def _told(experiment_id: str, measured: Mapping[str, Measured]) -> Told:
    own = measured.get(experiment_id)
    if own is None:
        return Told(experiment_id, ended=Ended.FAILED)
    # It is settled: one that neither completed nor was pruned has failed for good.
    return Told(experiment_id, own.usable, _ENDED.get(own.outcome or "", Ended.FAILED))


def _times(column: pd.Series) -> list[pd.Timestamp]:
    return list(column)
