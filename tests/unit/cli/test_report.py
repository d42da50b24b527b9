"""``autotuner report``: where the file goes, and what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotuner.cli.main import main
from autotuner.report import images, page


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Path]]:
    """What would have been written: (results folder, report)."""
    calls: list[tuple[Path, Path]] = []
    monkeypatch.setattr(page, "write_report", lambda folder, target: calls.append((folder, target)))
    return calls


def test_the_report_goes_into_the_results_folder(
    written: list[tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "results/x"]) == 0
    assert written == [(Path("results/x"), Path("results/x/report.html"))]
    assert capsys.readouterr().out == "results/x/report.html\n"


def test_or_where_it_is_wanted(written: list[tuple[Path, Path]]) -> None:
    assert main(["report", "results/x", "--output", "page.html"]) == 0
    assert written == [(Path("results/x"), Path("page.html"))]


def test_images_are_drawn_only_when_asked_for(
    written: list[tuple[Path, Path]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(images, "write_images", lambda report: (report.with_suffix(".png"),))
    main(["report", "results/x", "--png"])
    assert capsys.readouterr().out.splitlines()[-1] == "results/x/report.png"


def test_a_folder_without_a_study_is_a_mistake_of_the_user(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path / "missing")]) == 1
    assert "no results folder" in capsys.readouterr().err
