from autotuner.execution import ray_growth
from autotuner.execution.ray_growth import Growth, bundles_of
from autotuner.spec.server import CpuPlan, Footprint


def test_a_bundle_is_what_a_server_takes_of_one_node_the_widest_first():
    demand = {Footprint(1): 2, Footprint(8, cpus=CpuPlan(4), gpu_type="H100"): 1}
    assert bundles_of(demand) == [
        {"CPU": 4, "GPU": 8, "accelerator_type:H100": 0.001},
        {"CPU": 1, "GPU": 1},
        {"CPU": 1, "GPU": 1},
    ]


def test_a_server_that_spans_nodes_is_a_bundle_for_each():
    assert bundles_of({Footprint(8, nodes=2): 1}) == [{"CPU": 1, "GPU": 8}] * 2


def test_a_server_elsewhere_takes_of_its_quota_and_no_gpu():
    assert bundles_of({Footprint(4, quota="pods"): 1}) == [{"CPU": 1, "pods": 4}]


def test_no_more_is_asked_for_than_any_cluster_holds():
    assert len(bundles_of({Footprint(1): 100_000})) == 2000


def test_where_nothing_can_grow_nothing_is_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(ray_growth, "request_resources", lambda bundles: asked.append(bundles))
    monkeypatch.setattr(ray_growth, "_has_first_autoscaler", lambda: False)
    monkeypatch.setattr(ray_growth, "_has_second_autoscaler", lambda: False)
    Growth().request({Footprint(1): 1})
    assert asked == []


def test_a_request_that_fails_ends_no_study(monkeypatch):
    def refuse(bundles):
        raise RuntimeError("no GCS")

    monkeypatch.setattr(ray_growth, "request_resources", refuse)
    monkeypatch.setattr(ray_growth, "_has_first_autoscaler", lambda: True)
    growth = Growth()
    growth.request({Footprint(1): 1})
    assert growth.possible


def test_whether_it_can_grow_is_asked_once_a_minute(monkeypatch):
    asked = []
    monkeypatch.setattr(ray_growth, "_has_first_autoscaler", lambda: bool(asked.append(1)))
    monkeypatch.setattr(ray_growth, "_has_second_autoscaler", lambda: False)
    now = [0.0]
    growth = Growth(lambda: now[0])
    for now[0] in (0.0, 30.0, 59.0, 61.0):
        assert not growth.possible
    assert len(asked) == 2
