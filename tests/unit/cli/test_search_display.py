"""What a person sees of a search: while it runs, in the tables, as JSON and in the report."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from autotuner import StudyResults, StudySpec, plan, run
from autotuner.cli.display import Progress, progress_display
from autotuner.cli.main import main
from autotuner.cli.search_progress import limits_text
from autotuner.cli.tables import print_ranking
from autotuner.driver.progress import StudyEvent, StudyStarted
from autotuner.execution.local import LocalExecutor
from autotuner.report.page import page
from autotuner.report.subject import load_subject
from autotuner.spec.searching import Budget

STUDY = """
study: searched
engine: {name: sim, flags: {time-scale: 0.05}}
model: sim-model
parameters: {max-num-seqs: {min: 1, max: 128, scale: log}}
search: {strategy: random, max_experiments: 3}
workloads:
  - {name: chat, scenario: "D(20,10)", concurrency: [1, 2], stop: {seconds: 60, requests: 3}}
objective: {name: maximize_throughput, over: best}
baseline: {max-num-seqs: 3}
finalist_servers: 1
resources: {gpus: 0, cpus: 1}
bench: closed-loop
output: out
"""


@dataclass
class Shown:
    folder: Path
    events: list[StudyEvent]
    results: StudyResults


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    folder: Path = tmp_path_factory.mktemp("searched")
    (folder / "study.yaml").write_text(STUDY)
    planned = plan(StudySpec.from_file(folder / "study.yaml"))
    events: list[StudyEvent] = []
    with LocalExecutor(cpus=1) as executor:
        results = run(planned, executor=executor, on_event=events.append)
    return Shown(folder / "out", events, results)


def lines(shown: Shown) -> list[str]:
    text = io.StringIO()
    console = Console(file=text, width=300, color_system=None)
    with progress_display(console) as on_event:
        for event in shown.events:
            on_event(event)
    return [line.split("  ", 1)[1] for line in text.getvalue().splitlines()]


def test_the_candidates_and_the_limit_are_told_first(shown: Shown) -> None:
    assert lines(shown)[0] == "9 candidates, of which random chooses, up to 3 experiments"


def test_experiments_are_numbered_as_they_start_with_why_they_were_asked_for(shown: Shown) -> None:
    started = [line for line in lines(shown) if "started on" in line]
    assert [line.split()[0] for line in started] == ["[1/3]", "[2/3]", "[3/3]", "[1/3]"]
    assert started[0].endswith("max-num-seqs=3")
    assert started[1].endswith("(drawn at random)")
    assert "attempt 2" in started[3]


def test_each_end_says_how_many_were_measured_and_what_is_best(shown: Shown) -> None:
    ends = [line for line in lines(shown) if "completed" in line]
    assert "0 running, 1 measured of 3 at most, 0 failed, best " in ends[0]
    assert ends[2].endswith("tok/s; asked last: drawn at random")


def test_the_end_of_the_search_is_told_with_its_reason(shown: Shown) -> None:
    (end,) = (line for line in lines(shown) if "search ended" in line)
    assert end == "search ended, 3 of 9 candidates: max_experiments is reached: 3"


def test_of_a_resumed_search_the_numbers_go_on(shown: Shown) -> None:
    progress = Progress()
    started = next(event for event in shown.events if isinstance(event, StudyStarted))
    progress.update(StudyStarted(started.plan, 2, 1, None))
    for event in shown.events[1:2]:
        progress.update(event)
    first = started.plan.experiments[0]
    assert progress._search is not None
    assert progress._search.number(first) == 4


def test_the_table_says_how_much_of_the_space_was_measured(shown: Shown) -> None:
    text = io.StringIO()
    print_ranking(shown.results, Console(file=text, width=200, color_system=None))
    sentence = (
        "3 of 9 candidates were measured, chosen by random; the search ended: "
        "max_experiments is reached: 3"
    )
    assert sentence in text.getvalue()
    assert "to come" not in text.getvalue()


def test_the_json_says_so_too(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", str(shown.folder), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["search"]["candidates"] == 9
    assert content["search"]["stopped"] == "max_experiments is reached: 3"
    assert len(content["entries"]) == 3


def test_the_report_says_so_too(shown: Shown) -> None:
    text = page(load_subject(shown.folder))
    assert "Search: 3 of 9 candidates were measured" in text


def test_of_a_drawn_pool_the_whole_space_is_told(shown: Shown) -> None:
    space = shown.results.study.search
    assert space is not None
    sentence = type(space)("tpe", 10_000, 2**30, {}).sentence(34, None)
    assert sentence == (
        "34 of 10,000 candidates (drawn from 1,073,741,824 combinations) were measured, "
        "chosen by tpe; the search has not ended"
    )


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        (Budget(), ""),
        (Budget(40), "up to 40 experiments"),
        (Budget(wall_hours=1 / 6), "up to 10 min"),
        (Budget(1000, 12.5, 8.0), "up to 1,000 experiments and 12.5 GPU-hours and 8 h"),
    ],
)
def test_limits_are_put_in_words(budget: Budget, text: str) -> None:
    assert limits_text(budget) == text
