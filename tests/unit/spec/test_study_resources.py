from __future__ import annotations

import pytest
from unit.spec.conftest import StudyWriter

from autotuner.errors import PlanError
from autotuner.planning import plan
from autotuner.spec.server import CpuPlan, Footprint


def footprint(study: StudyWriter, resources: str, flags: str = "{}") -> Footprint:
    engine = f"engine: {{name: vllm, flags: {flags}}}"
    spec = study.load(engine=engine, resources=f"resources: {resources}", parameters="")
    return plan(spec).experiments[0].footprint


def test_an_experiment_wider_than_a_node_spans_as_many_as_it_needs(study: StudyWriter) -> None:
    flags = "{tensor-parallel-size: 8, pipeline-parallel-size: 2}"
    assert footprint(study, "{gpus_per_node: 8}", flags) == Footprint(8, nodes=2)


def test_an_experiment_that_fits_a_node_stays_on_one(study: StudyWriter) -> None:
    assert footprint(study, "{gpus_per_node: 8}", "{tensor-parallel-size: 4}") == Footprint(4)


def test_without_the_size_of_a_node_nothing_spans_any(study: StudyWriter) -> None:
    assert footprint(study, "{}", "{tensor-parallel-size: 16}") == Footprint(16)


def test_shares_of_the_nodes_are_equal_or_the_plan_is_refused(study: StudyWriter) -> None:
    assert footprint(study, "{gpus: 12, gpus_per_node: 8}") == Footprint(6, nodes=2)
    with pytest.raises(PlanError, match="9 GPUs cannot be spread evenly over 2 nodes of 8"):
        footprint(study, "{gpus: 9, gpus_per_node: 8}")


def test_a_gpu_type_and_whole_nodes_reach_the_experiments(study: StudyWriter) -> None:
    wanted = Footprint(1, gpu_type="H100", whole_nodes=True)
    assert footprint(study, "{gpu_type: H100, exclusive: node}") == wanted


def test_what_was_measured_before_there_were_gpu_types_keeps_its_id() -> None:
    assert Footprint(2).content() == {
        "gpus_per_node": 2,
        "nodes": 1,
        "cpus": {"reserve": 1, "server": (), "load": ()},
    }


@pytest.mark.parametrize("other", [{"gpu_type": "H100"}, {"whole_nodes": True}])
def test_another_gpu_type_or_neighbourhood_is_another_experiment(other: dict[str, object]) -> None:
    assert Footprint(2, **other).content() != Footprint(2).content()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("footprint", "exclusive"),
    [
        (Footprint(1), False),
        (Footprint(1, whole_nodes=True), True),
        (Footprint(1, cpus=CpuPlan(1, server=(0,))), True),
    ],
)
def test_whole_nodes_and_pinned_cpus_are_for_nobody_else(
    footprint: Footprint, exclusive: bool
) -> None:
    assert footprint.exclusive is exclusive


@pytest.mark.parametrize(
    ("resources", "key", "fix"),
    [
        ("{exclusive: true}", "resources.exclusive", "exclusive: node"),
        ("{nodes: 2}", "resources.nodes", "gpus_per_node"),
        ("{gpu_model: H100}", "resources.gpu_model", "gpu_type"),
        ("{gpus_per_node: 0}", "resources.gpus_per_node", "at least 1"),
        ("{max_gpus: 8}", "resources.max_gpus", "top level"),
    ],
)
def test_a_wrong_key_of_the_resources_is_explained(
    study: StudyWriter, resources: str, key: str, fix: str
) -> None:
    problem = study.problem(resources=f"resources: {resources}")
    assert problem.key == key
    assert fix in problem.fix


@pytest.mark.parametrize(
    ("resources", "key", "instead"),
    [
        ("{gpu_type: H100}", "gpu_type", "node_selector"),
        ("{exclusive: node}", "exclusive", "affinity"),
    ],
)
def test_what_is_said_of_rays_nodes_is_refused_where_servers_run_elsewhere(
    study: StudyWriter, resources: str, key: str, instead: str
) -> None:
    problem = study.problem(
        engine="engine: {name: vllm, image: 'a:1'}",
        launcher="launcher: kubernetes",
        model="model: org/model",
        resources=f"resources: {resources}",
    )
    assert problem.key == f"resources.{key}"
    assert instead in problem.fix


def test_a_study_may_limit_the_gpus_that_it_holds(study: StudyWriter) -> None:
    assert study.load(more="max_gpus: 16").max_gpus == 16
    assert study.load().max_gpus is None
    assert "no limit" in study.problem(more="max_gpus: 0").fix
