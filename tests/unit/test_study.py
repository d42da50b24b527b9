import sys
from dataclasses import replace
from types import ModuleType

import pytest

from autotuner.driver.progress import StudyEnded, StudyStarted
from autotuner.errors import ClusterError, OutputError, PlanError
from autotuner.execution.local import LocalExecutor
from autotuner.planning import plan
from autotuner.results.lock import sole_writer
from autotuner.study import run

SEQS = "max-num-seqs"


def with_quota(planned):
    """As if its servers ran elsewhere."""
    experiments = tuple(
        replace(one, footprint=replace(one.footprint, quota="pods")) for one in planned.experiments
    )
    return replace(planned, experiments=experiments)


@pytest.fixture
def local():
    with LocalExecutor(cpus=2) as executor:
        yield executor


def test_a_study_in_its_results_out(make_spec, local):
    spec = make_spec({SEQS: [4, 8]})
    results = run(spec, executor=local)
    assert list(results.experiments["outcome"]) == ["completed"] * 2
    assert set(results.levels["status"]) == {"ok"}
    assert results.ranking().winner is not None
    assert (spec.output / "study.json").exists()


def test_the_record_of_the_study_can_start_its_servers_by_hand(make_spec, local):
    spec = make_spec({SEQS: [4]})
    planned = plan(spec)
    (experiment,) = run(planned, executor=local).study.experiments
    assert experiment.launch_command == planned.launch_command(planned.experiments[0])


def test_a_plan_is_run_as_it_stands(make_spec, local):
    planned = plan(make_spec({SEQS: [4]}))
    results = run(planned, executor=local)
    assert results.study.study_id == planned.study_id


def test_results_go_where_the_caller_says(make_spec, local, tmp_path):
    spec = make_spec()
    run(spec, executor=local, output=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "study.json").exists()
    assert not spec.output.exists()


def test_a_second_run_measures_nothing_again(make_spec, local):
    spec, told = make_spec(), []
    first = run(spec, executor=local)
    second = run(spec, executor=local, on_event=told.append)
    assert [type(event) for event in told] == [StudyStarted, StudyEnded]
    assert told[0].reused == 1
    assert second.experiments.equals(first.experiments)


def test_an_executor_of_the_caller_is_left_open(make_spec, local, tmp_path):
    for name in ("one", "two"):
        results = run(make_spec(name=name), executor=local, output=tmp_path / name)
        assert list(results.experiments["outcome"]) == ["completed"]


def test_a_folder_with_another_study_is_refused(make_spec, local):
    run(make_spec(name="one"), executor=local)
    with pytest.raises(OutputError, match="another study, 'one'"):
        run(make_spec(name="two"), executor=local)


def test_a_folder_that_another_driver_writes_is_refused_before_anything_starts(make_spec, local):
    spec, told = make_spec(), []
    run(spec, executor=local)
    with sole_writer(spec.output), pytest.raises(OutputError, match="is being written by"):
        run(spec, executor=local, on_event=told.append)
    assert told == []


def test_a_study_without_experiments_touches_no_folder(make_spec, local):
    spec = make_spec({"tensor-parallel-size": [0]}, gpus=None)
    with pytest.raises(PlanError):
        run(spec, executor=local)
    assert not spec.output.exists()


@pytest.fixture
def ray_executors(monkeypatch):
    """The executors that are opened in Ray's place, with their addresses."""
    opened = []

    class InPlaceOfRay(LocalExecutor):
        def __init__(self, address, *, quotas):
            super().__init__(quotas=quotas)
            self.address, self.closed = address, False
            opened.append(self)

        def close(self):
            super().close()
            self.closed = True

    module = ModuleType("autotuner.execution.on_ray")
    module.RayExecutor = InPlaceOfRay
    monkeypatch.setitem(sys.modules, "autotuner.execution.on_ray", module)
    return opened


@pytest.mark.parametrize("address", [None, "auto", "10.0.0.1:6379"])
def test_without_an_executor_ray_is_used_and_closed(make_spec, ray_executors, address):
    results = run(make_spec(), address=address)
    (executor,) = ray_executors
    assert executor.address == address
    assert executor.closed
    assert list(results.experiments["outcome"]) == ["completed"]


@pytest.mark.parametrize(("gpus", "share"), [(0, 1), (4, 4)])
def test_a_ray_that_is_started_here_gets_the_quota_of_the_widest_server(
    make_spec, ray_executors, monkeypatch, gpus, share
):
    """So that one of them runs at a time."""
    planned = with_quota(plan(make_spec({SEQS: [4, 8]}, gpus=gpus)))
    run(planned)
    (executor,) = ray_executors
    assert executor.nodes()[0].quotas == {"pods": share}


def test_without_the_quota_nothing_starts_and_it_is_said_how_to_get_it(make_spec, local):
    with pytest.raises(
        ClusterError, match=r"needs 1 of the Ray resource pods .*has none.*ray start"
    ):
        run(with_quota(plan(make_spec())), executor=local)


def test_ray_is_closed_when_the_study_fails(make_spec, ray_executors):
    with pytest.raises(ClusterError):
        run(make_spec(gpus=8))
    assert ray_executors[0].closed


def test_with_an_executor_ray_is_not_even_imported(make_spec, local, monkeypatch):
    monkeypatch.setitem(sys.modules, "autotuner.execution.on_ray", None)
    run(make_spec(), executor=local)
