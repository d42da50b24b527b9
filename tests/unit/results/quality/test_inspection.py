from __future__ import annotations

import ast
import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from random import Random

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import autotuner
from autotuner.results.load import load_results
from autotuner.results.quality.finding import Severity
from autotuner.results.quality.inspected import rows_of
from autotuner.results.quality.inspection import CHECKS, findings, inspect
from autotuner.results.score import EntryStatus
from autotuner.spec.experiment import Failed, FailureKind, Phase

ROOM = Path(autotuner.__file__).parent / "results" / "quality"
DOCS = Path(autotuner.__file__).parent.parent / "docs" / "quality.md"
KEYS = {"experiment_id", "attempt_id", "workload", "scenario", "concurrency"}
FOUNDATION = {"__init__.py", "finding.py", "inspected.py", "inspection.py"}


def test_a_flawless_study_has_no_findings(draft):
    assert findings(draft.inspected()) == ()


def test_the_worst_come_first_then_those_of_many_experiments(draft):
    draft.add_attempt("e32", outcome="failed", failure_kind="server_hung")
    draft.attempts[2]["slot_fault"] = "a process holds GPU 0"
    draft.attempts[2]["swept"] = "a process"
    draft.change_all(requests_short=1000)
    found = findings(draft.inspected())
    assert [(f.kind, f.severity) for f in found] == [
        ("unstable", Severity.SERIOUS),
        ("early_end", Severity.WARNING),
        ("slot_fault", Severity.WARNING),
        ("leftovers", Severity.NOTE),
    ]
    assert found[1].experiment_ids == ("base", "e8", "e16", "e32", "e64")


def test_a_thousand_experiments_with_one_flaw_are_one_finding(draft):
    template = next(e for e in draft.experiments if e.id == "e8")
    rows = [row for row in draft.levels if row["experiment_id"] == "e8"]
    for n in range(1000):
        draft.experiments.append(replace(template, id=f"more{n}"))
        draft.levels += [row | {"experiment_id": f"more{n}", "requests_short": 100} for row in rows]
    [finding] = [f for f in findings(draft.inspected()) if f.kind == "early_end"]
    assert len(finding.experiment_ids) == 1000
    assert len(finding.message) < 200


def test_every_check_of_every_theme_is_made():
    public = {
        f"{path.stem}.{node.name}"
        for path in ROOM.glob("*.py")
        if path.name not in FOUNDATION
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    assert public == {f"{c.__module__.rpartition('.')[2]}.{c.__name__}" for c in CHECKS}


def test_every_kind_is_in_the_docs():
    source = "".join(p.read_text() for p in ROOM.glob("*.py"))
    kinds = set(re.findall(r'Finding\(\s*"(\w+)"', source))
    assert len(kinds) > 20
    assert kinds == set(re.findall(r"^\| `(\w+)` \|", DOCS.read_text(), re.M))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_missing_number_makes_a_check_fail(draft, seed):
    # One drawn number for thousands of choices: each of them drawn would take minutes.
    chance, draft = Random(seed), deepcopy(draft)
    share = chance.choice((0.02, 0.2, 0.9))
    for rows in (draft.attempts, draft.levels, draft.pooled):
        for row in rows:
            row.update({c: None for c in row if c not in KEYS and chance.random() < share})
        del rows[chance.randint(0, 2 * len(rows)) :]
    for experiment in draft.experiments:
        draft.statuses[experiment.id] = chance.choice(list(EntryStatus))
        draft.samples[experiment.id] = tuple(
            chance.choice((0.0, 1e-9, 100.0, 1e9)) for _ in range(chance.randint(0, 4))
        )
    _check_texts(findings(draft.inspected()))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    values=st.dictionaries(
        st.sampled_from(
            [
                "requests_completed",
                "requests_cut",
                "requests_short",
                "requests_failed",
                "requests_per_s",
                "output_tokens_cut",
                "client_cpu_share",
                "node_cpus",
                "own_cpus",
                "foreign_cpus",
                "ttft_s_count",
                "ttft_s_p99",
                "duration_s",
            ]
        ),
        st.sampled_from([0, 0.0, 1e-9, 1, 0.99, 1e9, None]),
    )
)
def test_no_odd_number_makes_a_check_fail(draft, values):
    draft = deepcopy(draft)
    draft.change_all(**values)
    _check_texts(findings(draft.inspected()))


def _check_texts(found):
    for finding in found:
        assert finding.message
        assert finding.consequence
        assert finding.remedy
        text = f"{finding.message} {finding.consequence} {finding.remedy}"
        assert not re.search(r"\b(nan|inf|None)\b", text), text


@pytest.mark.parametrize("how", ["running", "all failed", "nothing"])
def test_a_study_that_runs_or_failed_can_be_looked_at(draft, how):
    draft.verdict = replace(draft.verdict, leader=None, advantages={}, noise_cv=None)
    draft.statuses = dict.fromkeys(
        [e.id for e in draft.experiments],
        EntryStatus.INFEASIBLE if how == "all failed" else EntryStatus.PENDING,
    )
    if how == "all failed":
        for row in draft.attempts:
            row.update(outcome="failed", failure_kind="out_of_memory_at_load")
        for row in (*draft.levels, *draft.pooled):
            row.update(dict.fromkeys(set(row) - KEYS) | {"status": "failed"})
    else:
        draft.attempts.clear()
        draft.pooled.clear()
        del draft.levels[0 if how == "nothing" else 3 :]
    kinds = {finding.kind for finding in findings(draft.inspected())}
    assert kinds == (
        {"many_failed", "baseline_failed"} if how == "all failed" else {"not_measured"}
    )


def test_rows_have_none_for_whatever_is_missing():
    frame = pd.DataFrame(
        {
            "a": pd.array([1, None], dtype="Int64"),
            "b": [1.5, float("nan")],
            "c": [pd.Timestamp("2025-03-01", tz="UTC"), pd.NaT],
            "d": [["0", "1"], None],
        }
    )
    first, second = rows_of(frame)
    assert first["d"] == ["0", "1"]
    assert second == {"a": None, "b": None, "c": None, "d": None}
    assert rows_of(frame[:0]) == []


def test_a_stored_study_is_looked_over_with_all_its_attempts(
    store, experiments, write_attempt, study
):
    assert {f.kind for f in inspect(load_results(store.paths.root))} == {
        "not_measured",
        "no_baseline",
    }
    crash = Failed(FailureKind.SERVER_CRASHED, Phase.LOAD, "the server ended")
    for experiment in experiments:
        write_attempt(store, experiment, number=1, outcome=crash, latency_s=0.1)
        write_attempt(store, experiment, number=2, latency_s=2.0)
    for every in (False, True):
        found = {f.kind: f for f in inspect(load_results(store.paths.root, all_attempts=every))}
        assert found["unstable"].experiment_ids == tuple(e.id for e in study.experiments)
        assert "failed in 1 of 2 attempts (server_crashed)" in found["unstable"].message
        assert found["few_requests"].experiment_ids == tuple(e.id for e in study.experiments)
        assert "4 requests completed with 16 in flight" in found["few_requests"].message
