from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from autotuner.errors import OutputError
from autotuner.results import changed_study
from autotuner.results.changed_study import sort_files
from autotuner.results.load import load_results
from autotuner.results.parameter_columns import parameter_columns
from autotuner.results.store import ResultStore
from autotuner.results.study_record import StudyRecord
from autotuner.spec.experiment import Attempt, Experiment
from autotuner.spec.study import Axis

Write = Callable[..., Attempt]
Experiments = tuple[Experiment, ...]


@pytest.fixture
def filled(store: ResultStore, experiments: Experiments, write_attempt: Write) -> ResultStore:
    """Two of the study's three experiments are measured."""
    for experiment in experiments[:2]:
        attempt = write_attempt(store, experiment)
        store.write_logs(attempt, {"server.log": experiment.id})
    return store


@pytest.fixture
def changed(study: StudyRecord) -> StudyRecord:
    """The study without its first experiment, and with another parameter."""
    axes = [
        Axis("max-num-seqs", ({"max-num-seqs": 16}, {"max-num-seqs": "auto"})),
        Axis("dtype", ({"dtype": "bf16"},)),
    ]
    kept = tuple(
        replace(e, parameters={**e.parameters, "dtype": "bf16"}) for e in study.experiments[1:]
    )
    return replace(study, study_id="study2", parameters=parameter_columns(axes), experiments=kept)


def files(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def test_a_changed_study_is_refused_with_what_would_be_used_again(
    filled: ResultStore, changed: StudyRecord
) -> None:
    before = files(filled.paths.root)
    with pytest.raises(OutputError) as caught:
        ResultStore.create(filled.paths.root, changed)
    said = str(caught.value)
    assert "2 of its 2 experiments are among them and would be used again" in said
    assert "as far as they are measured (1 are)" in said
    assert "1 of the folder's are gone from the study and would be put aside" in said
    assert "--resume" in said
    assert "--output" in said
    assert files(filled.paths.root) == before


def test_a_study_that_was_refused_before_it_measured_may_change_in_its_folder(
    store: ResultStore, changed: StudyRecord
) -> None:
    ResultStore.create(store.paths.root, changed)
    assert ResultStore.open(store.paths.root).study.study_id == changed.study_id


def test_where_nothing_can_be_used_again_it_is_said_what_differs_in_all(
    filled: ResultStore, study: StudyRecord
) -> None:
    def named(prefix: str, **parts: str) -> StudyRecord:
        own = tuple(replace(e, id=prefix + e.id, parts=parts) for e in study.experiments)
        return replace(study, study_id=prefix, experiments=own)

    old, new = named("a", server="1", workloads="2"), named("b", server="1", workloads="3")
    said = changed_study.difference(old, new, frozenset())
    assert "none of its 3 experiments" in said
    assert "what differs in all of them: workloads" in said


def test_resuming_keeps_what_is_in_the_study_and_puts_the_rest_aside(
    filled: ResultStore, changed: StudyRecord
) -> None:
    store = ResultStore.create(filled.paths.root, changed, resume_changed=True)
    assert {a.experiment_id for a in store.ended_attempts()} == {"exp1"}
    aside = files(store.paths.retired.root)
    assert {name.split("/")[0] for name in aside} == {"experiments", "levels", "requests", "logs"}
    assert all("exp0" in name for name in aside)
    assert not any("exp0" in name for name in files(store.paths.levels))


def test_the_rows_that_are_kept_have_the_parameters_of_the_study_as_it_is_now(
    filled: ResultStore, changed: StudyRecord
) -> None:
    ResultStore.create(filled.paths.root, changed, resume_changed=True)
    (row,) = pd.read_parquet(filled.paths.experiments).to_dict("records")
    assert row["param_max_num_seqs"] == "16"  # a text column now: "auto" is a value too
    assert row["param_dtype"] == "bf16"
    results = load_results(filled.paths.root)
    assert set(results.levels["param_dtype"]) == {"bf16"}
    assert set(results.requests["experiment_id"]) == {"exp1"}


def test_a_change_that_is_taken_back_brings_everything_back(
    filled: ResultStore, changed: StudyRecord, study: StudyRecord
) -> None:
    before = files(filled.paths.root)
    ResultStore.create(filled.paths.root, changed, resume_changed=True)
    store = ResultStore.create(filled.paths.root, study, resume_changed=True)
    assert files(filled.paths.root) == before
    assert {a.experiment_id for a in store.ended_attempts()} == {"exp0", "exp1"}
    assert len(load_results(filled.paths.root).levels) == 4


def test_a_sorting_that_was_cut_off_is_finished_by_the_next_start(
    filled: ResultStore, changed: StudyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(changed_study, "_refit_parameters", killed)
        with pytest.raises(KeyboardInterrupt):
            ResultStore.create(filled.paths.root, changed, resume_changed=True)
    store = ResultStore.create(filled.paths.root, changed)
    assert {a.experiment_id for a in store.ended_attempts()} == {"exp1"}


def test_sorting_twice_changes_nothing(filled: ResultStore, study: StudyRecord) -> None:
    before = {path: path.stat().st_mtime_ns for path in filled.paths.root.rglob("*.parquet")}
    sort_files(filled.paths, study)
    after = {path: path.stat().st_mtime_ns for path in filled.paths.root.rglob("*.parquet")}
    assert after == before


def test_another_study_s_folder_is_never_resumed(filled: ResultStore, changed: StudyRecord) -> None:
    with pytest.raises(OutputError, match="another study, 'tiny'"):
        ResultStore.create(filled.paths.root, replace(changed, name="other"), resume_changed=True)
