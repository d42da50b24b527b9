"""Studies that find the largest load, on simulated servers whose capacity is known."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from autotuner import StudySpec, plan, run
from autotuner.cli.plan import print_plan
from autotuner.cli.tables import print_ranking
from autotuner.driver.progress import AttemptStarted, LevelFinished
from autotuner.execution.local import LocalExecutor
from autotuner.results.load import load_results
from autotuner.spec.experiment import Purpose

STUDY = """
study: found
engine: {{name: sim, flags: {{time-scale: 0.2}}}}
model: sim-model
parameters:
  fault-refuse-above: {capacities}
workloads:
  - name: chat
    scenario: "D(20,40)"
    load: {{find: max_concurrency, max: 16}}
    stop: {{seconds: 600, requests: 60}}
    warmup_requests: 1
objective: maximize_load
constraints: {{error_rate: 0}}
baseline: false
finalist_servers: {servers}
order: plan
resources: {{gpus: 0, cpus: 1}}
bench: closed-loop
output: out
"""


def measured(folder: Path, capacities: str, servers: int = 1):
    (folder / "study.yaml").write_text(STUDY.format(capacities=capacities, servers=servers))
    planned = plan(StudySpec.from_file(folder / "study.yaml"))
    events = []
    with LocalExecutor(cpus=1) as executor:
        results = run(planned, executor=executor, on_event=events.append)
    return planned, events, results


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("found"), "[3, 6]", servers=2)


def loads(events, number, purpose=Purpose.SEARCH):
    """Concurrencies of the n-th attempt of that purpose, in their order."""
    starts = [e for e in events if isinstance(e, AttemptStarted) and e.attempt.purpose is purpose]
    own = [
        e for e in events if isinstance(e, LevelFinished) and e.attempt == starts[number].attempt
    ]
    return [event.result.level.concurrency for event in own]


def printed(show, *arguments):
    text = io.StringIO()
    show(*arguments, Console(file=text, width=160))
    return text.getvalue()


def test_each_configuration_has_the_largest_load_that_its_server_takes(study):
    _, _, results = study
    found = {e.label: (e.score.value, e.status.value) for e in results.ranking().entries}
    assert found == {
        "fault-refuse-above=6": (6, "feasible"),
        "fault-refuse-above=3": (3, "feasible"),
    }


def test_the_first_server_doubles_and_the_next_begins_at_the_best_so_far(study):
    _, events, _ = study
    assert loads(events, 0) == [1, 2, 4, 3]
    assert loads(events, 1) == [3, 4, 5, 7, 6]


def test_fresh_servers_look_where_the_load_was_found(study):
    _, events, results = study
    confirmed = [loads(events, number, Purpose.CONFIRM) for number in range(2)]
    assert sorted(confirmed) == [[3, 4], [6, 7]]
    assert all(len(e.score.samples) == 2 for e in results.ranking().feasible)


def test_a_level_that_is_too_much_is_no_failure_of_its_attempt(study):
    _, _, results = study
    assert set(results.attempts["outcome"]) == {"completed"}
    assert "failed" in set(results.levels["status"])
    assert "skipped" not in set(results.levels["status"])
    ends = dict(zip(results.attempts["label"], results.attempts["levels_end"], strict=True))
    assert ends["fault-refuse-above=6"] == "chat: load 6..7 (failed requests limits)"


def test_the_table_shows_the_bracket_and_what_limits_and_no_level_of_its_own(study):
    _, _, results = study
    text = printed(print_ranking, results)
    assert "6..7 (failed requests limits)" in text
    assert "3..4 (failed requests limits)" in text
    assert "c=1" not in text


def test_the_plan_says_how_many_levels_it_will_take(study):
    planned, _, _ = study
    text = printed(print_plan, planned)
    assert (
        "at the largest concurrency from 1 to 16 that keeps the hard limits, about "
        f"{planned.experiments[0].expected_levels} levels on a server"
    ) in text
    assert planned.levels == 2 * planned.experiments[0].expected_levels


def test_what_was_found_is_used_again(study):
    planned, _, results = study
    again = []
    with LocalExecutor(cpus=1) as executor:
        run(planned, executor=executor, on_event=again.append)
    assert [event for event in again if isinstance(event, AttemptStarted)] == []
    assert load_results(planned.spec.output).ranking() == results.ranking()


def test_a_server_that_crashes_has_failed_whatever_the_load(tmp_path):
    text = STUDY.replace("fault-refuse-above", "fault-crash-after-requests")
    (tmp_path / "study.yaml").write_text(text.format(capacities="[90]", servers=1))
    planned = plan(StudySpec.from_file(tmp_path / "study.yaml"))
    with LocalExecutor(cpus=1) as executor:
        results = run(planned, executor=executor)
    (entry,) = results.ranking().entries
    assert entry.status.value == "infeasible"
    assert set(results.attempts["failure_kind"]) == {"server_crashed"}
