"""The documents name files that exist and commands that work."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from autotuner import StudySpec
from autotuner.results.schema import LEVELS, REQUESTS, experiments_schema

ROOT = Path(__file__).parents[3]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    missing = [link for link in links if not (document.parent / link).exists()]
    assert missing == []


def test_the_readmes_study_file_is_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    path = tmp_path / "study.yaml"
    path.write_text(blocks[0])
    assert StudySpec.from_file(path).name == yaml.safe_load(blocks[0])["study"]


def test_ci_runs_the_readmes_test_command() -> None:
    commands = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "make test" in commands
    assert "make test" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    ("heading", "schema"),
    [("levels", LEVELS), ("requests", REQUESTS), ("experiments", experiments_schema(()))],
)
def test_every_column_of_the_results_is_explained(heading: str, schema: pa.Schema) -> None:
    text = (ROOT / "docs" / "results.md").read_text()
    (section,) = (part for part in text.split("\n## ") if part.startswith(f"{heading}:"))
    explained = set(re.findall(r"`([a-z0-9_]+)`", section))
    assert set(schema.names) - explained == set()
