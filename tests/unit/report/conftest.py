"""A small study, written and read once, and configurations made by hand for single charts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autotuner.report.subject import Configuration, Subject, load_subject
from autotuner.results.score import EntryStatus, RankingEntry, Score
from autotuner.results.study_record import ExpectedExperiment

# The generator of studies is shared with the tests in a browser.
sys.path.insert(0, str(Path(__file__).parents[2]))

from report.big_study import write_big_study


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_big_study(tmp_path_factory.mktemp("report") / "study", experiments=14)


@pytest.fixture(scope="session")
def subject(small_study: Path) -> Subject:
    return load_subject(small_study)


@pytest.fixture
def make_configuration() -> Callable[..., Configuration]:
    def build(
        index: int = 0,
        label: str | None = None,
        *,
        score: float | None = 1.0,
        standing: str = "",
        is_baseline: bool = False,
    ) -> Configuration:
        id_ = f"e{index}"
        name = f"size={index}" if label is None else label
        feasible = score is not None
        entry = RankingEntry(
            index + 1 if feasible else None,
            id_,
            name,
            Score(score, "tok/s", feasible, "" if feasible else "no", None),
            EntryStatus.FEASIBLE if feasible else EntryStatus.INFEASIBLE,
        )
        expected = ExpectedExperiment(id_, name, {"size": index}, (), is_baseline=is_baseline)
        return Configuration(index, entry, expected, standing, {}, None)

    return build
