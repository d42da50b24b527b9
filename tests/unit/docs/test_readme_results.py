"""The README reads a results folder in Python and SQL: its lines run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pytest

import autotuner
from autotuner.execution.local import LocalExecutor

README = Path(__file__).parents[3] / "README.md"

STUDY = """
study: my-study
engine: {name: sim, flags: {time-scale: 0.05}}
model: sim-model
parameters: {max-num-seqs: [1, 8]}
workloads:
  - {name: chat, scenario: "D(50,20)", concurrency: [1, 4], stop: {seconds: 20, requests: 8}}
objective: {name: maximize_throughput, at: {concurrency: 4}}
baseline: false
finalist_servers: 2
resources: {gpus: 0}
bench: closed-loop
output: results/my-study
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds ``results/my-study``, as the README assumes."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "study.yaml").write_text(STUDY)
    spec = autotuner.StudySpec.from_file(folder / "study.yaml")
    with LocalExecutor(cpus=2) as executor:
        autotuner.run(spec, executor=executor)
    return folder


def block(language: str) -> str:
    """The README's one block of this language that reads results."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)
    (found,) = [text for text in blocks if "results/my-study" in text]
    return found


def test_the_python_lines_run_as_they_stand(folder: Path) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", block("python")], cwd=folder, check=True)


def test_the_sql_runs_as_it_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    rows = duckdb.sql(block("sql")).fetchall()
    assert sorted((seqs, concurrency) for seqs, concurrency, _ in rows) == [
        *((1, 1), (1, 4)),
        *((8, 1), (8, 4)),
    ]
    assert all(throughput > 0 for *_, throughput in rows)


@pytest.mark.parametrize("table", ["requests", "levels", "experiments"])
def test_each_table_is_a_dataset_that_others_read_alike(folder: Path, table: str) -> None:
    path = folder / "results" / "my-study" / table
    ours = getattr(autotuner.load_results(path.parent), table)
    alone = pd.read_parquet(path)
    in_sql = duckdb.sql(f"SELECT * FROM '{path}/*.parquet'").df()  # noqa: S608, our own path
    assert len(alone) == len(in_sql) == len(ours)
    assert set(alone.columns) == set(in_sql.columns) <= set(ours.columns)
