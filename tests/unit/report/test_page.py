"""The whole page: what must be in it, and that nothing from a study becomes HTML or script."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from autotuner.errors import OutputError
from autotuner.report.page import page, write_report
from autotuner.report.subject import Subject, load_subject
from autotuner.results.quality.finding import Finding, Severity

HOSTILE = "</script><script>alert('label')</script><img src=x onerror=alert(1)>"
MOST_BYTES = 8_000_000


class _Tags(HTMLParser):
    """Elements and headings of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(text)
    return parser.elements


def data(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1])  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def text(subject: Subject) -> str:
    return page(subject)


def test_it_needs_nothing_from_anywhere_else(text: str) -> None:
    elements = tags(text)
    sources = [a.get("src") or a.get("href") or "" for _, a in elements]
    assert {s for s in sources if s and not s.startswith("#")} == {"data:,"}
    (policy,) = (a["content"] for _, a in elements if a.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy


def test_only_its_own_scripts_may_run(text: str) -> None:
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in text.replace("&#x27;", "'")


def test_headings_are_in_order(text: str) -> None:
    levels = [int(tag[1]) for tag, _ in tags(text) if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_chart_has_words_for_those_who_do_not_see_it(text: str) -> None:
    charts = [a for _, a in tags(text) if "data-chart" in a]
    assert {c["id"] for c in charts} == set(data(text)["charts"])
    assert len(charts) >= 8
    for chart in charts:
        assert chart["role"] == "img"
        assert len(chart["aria-label"] or "") > 40


def test_the_page_says_what_was_found(text: str, subject: Subject) -> None:
    leader = subject.leader
    assert leader is not None
    assert "SIMULATED" in text
    assert leader.expected.launch_command.split()[0] in text
    for words in (
        "against the baseline",
        "fresh server",
        "out of memory at load",
        "Timeline of the cluster",
        "gpu-node-a",
        "Imaginary 80GB",
        "big-study",
    ):
        assert words in text


def test_the_table_has_a_row_for_every_experiment(text: str, subject: Subject) -> None:
    rows = [a for tag, a in tags(text) if tag == "tr" and "data-index" in a]
    assert [row["data-index"] for row in rows] == [str(c.index) for c in subject.configurations]
    assert len(data(text)["configurations"]) == len(subject.study.experiments)


def hostile(subject: Subject) -> Subject:
    """The study with markup wherever its text comes from outside."""
    results = subject.results
    study = replace(
        results.study,
        name=HOSTILE,
        description=HOSTILE,
        experiments=tuple(
            replace(e, label=f"{HOSTILE}{n}", launch_command=HOSTILE)
            for n, e in enumerate(results.study.experiments)
        ),
    )
    attempts = results.attempts.assign(
        label=HOSTILE, host=HOSTILE, gpu_model=HOSTILE, engine_version=HOSTILE
    )
    failed = attempts["outcome"] == "failed"
    attempts.loc[failed, ["evidence", "failure_message"]] = HOSTILE
    finding = Finding(HOSTILE, Severity.SERIOUS, (study.experiments[0].id,), *3 * [HOSTILE])
    return Subject(replace(results, study=study, attempts=attempts), (finding,))


def test_markup_in_labels_evidence_hosts_and_findings_stays_text(
    text: str, small_study: Path
) -> None:
    poisoned = page(hostile(load_subject(small_study)))
    assert HOSTILE not in poisoned
    assert "<img" not in poisoned.replace(
        re.findall(r"<script>(.*?)</script>", poisoned, re.S)[0], ""
    )
    honest, found = ([tag for tag, _ in tags(t)] for t in (text, poisoned))
    assert found.count("script") == honest.count("script") == 3
    assert not [a for _, a in tags(poisoned) if any(name.startswith("on") for name in a)]
    assert data(poisoned)["configurations"][0]["label"].count(HOSTILE) == 1
    figures = json.dumps(data(poisoned)["charts"])
    assert "<img" not in figures, "Plotly takes <...> in its texts for tags"


def test_the_report_is_written_where_it_is_wanted(small_study: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "page.html"
    write_report(small_study, target)
    assert target.stat().st_size < MOST_BYTES


def test_a_file_that_cannot_be_written_is_one_clear_error(
    small_study: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(small_study, tmp_path / "file" / "page.html")


def test_a_study_that_has_only_begun_has_a_report(small_study: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    for folder in ("requests", "levels", "experiments", "logs"):
        (begun / folder).mkdir(parents=True)
    (begun / "study.json").write_text((small_study / "study.json").read_text())
    text = page(load_subject(begun))
    assert "Nothing was measured that could be compared" in text
    assert "14 configurations not measured yet" in text
    assert "Nothing has run yet" in text
    assert data(text)["charts"] == {}


def test_a_study_whose_experiments_all_failed_has_a_report(
    small_study: Path, tmp_path: Path
) -> None:
    results = load_subject(small_study).results
    failed = tmp_path / "failed"
    for folder in ("requests", "levels", "experiments", "logs"):
        (failed / folder).mkdir(parents=True)
    (failed / "study.json").write_text((small_study / "study.json").read_text())
    lost = results.attempts[results.attempts["outcome"] == "failed"]
    for id_ in lost["attempt_id"]:
        for file in small_study.rglob(f"*{id_}*.parquet"):
            shutil.copy(file, failed / file.relative_to(small_study))
    text = page(load_subject(failed))
    assert "no result" in text.lower()
    assert "CUDA out of memory" in text
    assert set(data(text)["charts"]) == {"timeline"}
