"""What a results folder keeps of a search: the chosen, not the thousands of candidates."""

import json
from dataclasses import replace

import pytest

from autotuner.driver.recording import record_attempt
from autotuner.errors import OutputError
from autotuner.planning import plan
from autotuner.results import asked, files
from autotuner.results import store as store_module
from autotuner.results.load import load_results
from autotuner.results.score import EntryStatus
from autotuner.results.store import ResultStore
from autotuner.spec.experiment import Attempt, Completed
from autotuner.spec.searching import Budget, Searching
from autotuner.spec.study import Condition, Exclusion, Operator
from autotuner.study import detail_of, record_of

SEQS = "max-num-seqs"
WIDE = {f"p{number}": list(range(8)) for number in range(6)}


@pytest.fixture
def make_plan(make_spec):
    def make(axes=None, most=10_000, **changes):
        searching = Searching("random", most_candidates=most)
        axes = axes or {SEQS: [1, 2, 4, 8]}
        return plan(make_spec(axes, **{"searching": searching, **changes}))

    return make


def opened(planned, **options):
    return ResultStore.create(
        planned.spec.output, record_of(planned), detail=detail_of(planned), **options
    )


def measure(planned, store, index):
    attempt = Attempt(planned.study_id, planned.experiments[index], 1)
    record_attempt(planned, store, attempt, Completed(), facts={})


def test_the_record_of_thousands_of_candidates_is_small(make_plan):
    planned = make_plan(WIDE, most=2000)
    store = opened(planned)
    assert len(planned.experiments) == 2000
    assert len(store.paths.study.read_bytes()) < 5000
    study = load_results(planned.spec.output).study
    assert study.experiments == ()
    assert (study.search.candidates, study.search.combinations) == (2000, 8**6)
    assert study.search.values["p3"] == tuple(range(8))


def test_only_a_pool_that_was_drawn_is_said_to_be(make_plan):
    rule = Exclusion((Condition(SEQS, Operator.EQUALS, 1),), "")
    planned = make_plan(exclusions=(rule,))
    opened(planned)
    assert "drawn" not in load_results(planned.spec.output).search_sentence
    drawn = make_plan(WIDE, most=20, output=planned.spec.output.parent / "other")
    opened(drawn)
    sentence = load_results(drawn.spec.output).search_sentence
    assert "0 of 20 candidates (drawn from 262,144 combinations)" in sentence


def test_what_was_asked_for_is_kept_in_full_and_in_plan_order(make_plan):
    planned = make_plan()
    store = opened(planned)
    ids = [experiment.id for experiment in planned.experiments]
    store.write_asked(ids[2], "predicted 12 % better")
    store.write_asked(ids[0], "")
    first, second = load_results(planned.spec.output).study.experiments
    assert (first.id, second.id) == (ids[0], ids[2])
    assert second.why == "predicted 12 % better"
    assert second.launch_command == planned.launch_command(planned.experiments[2])
    assert second.server == planned.shown_server(planned.experiments[2])
    assert second.levels == planned.experiments[2].levels


def test_candidates_that_nobody_asked_for_are_not_in_the_ranking(make_plan):
    planned = make_plan()
    store = opened(planned)
    for index in (1, 3):
        store.write_asked(planned.experiments[index].id, "")
    measure(planned, store, 1)
    ranking = load_results(planned.spec.output).ranking()
    assert [entry.status for entry in ranking.entries] == [
        EntryStatus.INFEASIBLE,
        EntryStatus.PENDING,
    ]


def test_what_was_asked_for_and_not_begun_is_a_candidate_again_in_the_next_run(make_plan):
    planned = make_plan()
    store = opened(planned)
    for index in (1, 3):
        store.write_asked(planned.experiments[index].id, "why")
    measure(planned, store, 1)
    opened(planned)
    (one,) = load_results(planned.spec.output).study.experiments
    assert (one.id, one.why) == (planned.experiments[1].id, "why")


def test_a_study_that_measured_everything_may_go_on_as_a_search(make_plan):
    whole = make_plan(searching=Searching())
    measure(whole, opened(whole), 2)
    searched = make_plan()
    assert whole.study_id == searched.study_id
    opened(searched)
    (one,) = load_results(searched.spec.output).study.experiments
    assert one.id == searched.experiments[2].id
    assert one.launch_command


def test_no_reader_meets_rows_of_which_the_record_knows_nothing(make_plan, monkeypatch):
    whole = make_plan(searching=Searching())
    measure(whole, opened(whole), 2)
    written = []

    def noted(path, text):
        written.append(path.name)
        files.write_text(path, text)

    for module in (asked, store_module):
        monkeypatch.setattr(module, "write_text", noted)
    opened(make_plan())
    assert written[:2] == [f"{whole.experiments[2].id}.json", "study.json"]


def test_a_limit_that_is_raised_makes_it_no_other_study(make_plan):
    measure(make_plan(), opened(make_plan()), 0)
    raised = make_plan(searching=Searching("sobol", budget=Budget(99), seed=4))
    opened(raised)
    assert load_results(raised.spec.output).study.search.strategy == "sobol"


def test_a_changed_space_keeps_what_it_still_has_and_puts_the_rest_aside(make_plan):
    before = make_plan()
    store = opened(before)
    for index in (0, 1):
        store.write_asked(before.experiments[index].id, "why")
        measure(before, store, index)
    changed = make_plan({SEQS: [2, 4, 16]})
    with pytest.raises(OutputError, match=r"1 of its 3 experiments.*--resume"):
        opened(changed)
    opened(changed, resume_changed=True)
    (one,) = load_results(changed.spec.output).study.experiments
    assert (one.parameters[SEQS], one.why) == (2, "why")
    opened(before, resume_changed=True)
    study = load_results(before.spec.output).study
    assert [e.parameters[SEQS] for e in study.experiments] == [1, 2]


def test_why_a_search_has_ended_is_kept_until_it_goes_on(make_plan):
    planned = make_plan()
    store = opened(planned)
    assert load_results(planned.spec.output).search_stopped is None
    store.write_search_end("max_experiments is reached: 4")
    assert load_results(planned.spec.output).search_stopped == "max_experiments is reached: 4"
    store.write_search_end(None)
    assert load_results(planned.spec.output).search_stopped is None


def test_of_a_study_that_searches_no_more_the_end_of_its_search_is_not_told(make_plan):
    opened(make_plan()).write_search_end("enough")
    whole = make_plan(searching=Searching())
    opened(whole)
    results = load_results(whole.spec.output)
    assert results.search_stopped is None
    assert len(results.study.experiments) == 4


def test_a_record_that_is_read_says_the_same_when_it_is_written(make_plan):
    planned = make_plan()
    store = opened(planned)
    assert json.loads(store.paths.study.read_text())["experiments"] == []
    study = load_results(planned.spec.output).study
    assert replace(study, experiments=()).to_json() == store.paths.study.read_text()


@pytest.mark.parametrize("name", ["asked/x.json", "search.json"])
def test_a_file_that_cannot_be_read_is_named(make_plan, name):
    planned = make_plan()
    store = opened(planned)
    store.write_asked(planned.experiments[0].id, "")
    (store.paths.root / name).write_text("{")
    with pytest.raises(OutputError, match=name):
        load_results(planned.spec.output)
