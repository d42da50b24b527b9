import pytest

from autotuner.launchers.kubernetes.readiness import look
from autotuner.spec.launching import OmeSettings, PodSettings
from autotuner.spec.server import Footprint, Model, ServerConfig


@pytest.fixture
def looked(kubernetes_double, tmp_path):
    """Look at the double; what is of OME names its base model."""
    kubeconfig = str(kubernetes_double.kubeconfig(tmp_path / "kubeconfig"))

    def looked(*, gpus=0, ome=None, **pod):
        settings = PodSettings(**{"image": "an/image:1", "kubeconfig": kubeconfig, **pod})
        launch = settings if ome is None else OmeSettings(pod=settings, **ome)
        launcher = "kubernetes" if ome is None else "ome"
        model = Model("/models/m", "/models/m")
        server = ServerConfig("sim", model, {}, launcher=launcher, launch=launch)
        return {row.check: row for row in look(server, Footprint(gpus))}

    return looked


def add_node(double, name, gpus, **labels):
    double.add(
        "nodes",
        {
            "metadata": {"name": name, "labels": labels},
            "spec": {},
            "status": {"allocatable": {"nvidia.com/gpu": str(gpus), "cpu": "8"}},
        },
    )


def test_all_is_well_where_all_is_there(looked, kubernetes_double):
    add_node(kubernetes_double, "n1", 8)
    rows = looked(gpus=8)
    assert rows["Kubernetes API"].read == f"v1.34.0 at {kubernetes_double.url}"
    assert [row.fix for row in rows.values()] == [None] * 3


def test_what_is_looked_at_leaves_nothing_behind(looked, kubernetes_double):
    looked(gpus=1, ome={"base_model": "m"})
    methods = {each.method for each in kubernetes_double.requests if "reviews" not in each.path}
    assert methods == {"GET"}


@pytest.mark.parametrize(
    ("verb", "resource"), [("create", "pods"), ("get", "pods/log"), ("delete", "services")]
)
def test_a_right_that_is_missing_is_named_with_the_way_to_get_it(
    looked, kubernetes_double, verb, resource
):
    kubernetes_double.faults.forbid(verb, resource)
    row = looked()["rights in namespace default"]
    assert f"may not: {verb} {resource};" in row.fix
    assert "cluster/ome/rbac.yaml" in row.fix
    assert row.blocks


def test_pods_are_not_made_by_us_where_ome_makes_them(looked, kubernetes_double):
    kubernetes_double.faults.forbid("create", "pods")
    assert looked(ome={"base_model": "m"})["rights in namespace default"].fix is None


def test_no_right_to_read_secrets_is_wanted(looked, kubernetes_double):
    for verb in ("get", "list", "watch"):
        kubernetes_double.faults.forbid(verb, "secrets")
    assert looked()["rights in namespace default"].fix is None


def test_an_api_that_is_not_there_is_one_row(looked, kubernetes_double, monkeypatch):
    monkeypatch.setattr("autotuner.launchers.kubernetes.readiness._PATIENCE_S", 0.0)
    kubernetes_double.faults.go_away()
    (row,) = looked().values()
    assert (row.check, row.blocks) == ("Kubernetes API", True)
    assert "kubectl version" in row.fix


def test_a_kubeconfig_that_is_not_there_is_one_row(looked):
    (row,) = looked(kubeconfig="/no/such/file").values()
    assert "no kubeconfig at /no/such/file" in row.fix


def test_a_study_without_an_image_is_one_row(looked):
    (row,) = looked(image=None).values()
    assert "engine.image" in row.fix


def test_a_claim_that_is_missing_is_named_with_its_key(looked, kubernetes_double):
    row = looked(model_claim="models")["PersistentVolumeClaim models"]
    assert row.fix.startswith("model_claim = models: namespace default has no")
    kubernetes_double.add("persistentvolumeclaims", {"metadata": {"name": "models"}, "spec": {}})
    assert looked(model_claim="models")["PersistentVolumeClaim models"].fix is None


def test_what_the_account_may_not_see_is_no_fault(looked, kubernetes_double):
    kubernetes_double.faults.forbid("get", "persistentvolumeclaims")
    kubernetes_double.faults.forbid("list", "nodes")
    rows = looked(model_claim="models", gpus=8)
    assert [row.fix for row in rows.values()] == [None] * 4


def test_a_base_model_and_a_runtime_have_to_be_there(looked, kubernetes_double):
    wanted = {"base_model": "llama", "runtime": "fast", "runtime_kind": "ServingRuntime"}
    rows = looked(ome=wanted)
    assert rows["ClusterBaseModel llama"].fix.startswith("ome.base_model = llama: the cluster has")
    assert rows["ServingRuntime fast"].fix.startswith("ome.runtime = fast: namespace default has")
    kubernetes_double.add("clusterbasemodels", {"metadata": {"name": "llama"}, "spec": {}})
    assert looked(ome=wanted)["ClusterBaseModel llama"].fix is None


def test_a_node_with_as_many_gpus_is_looked_for_among_those_that_are_selected(
    looked, kubernetes_double
):
    add_node(kubernetes_double, "n1", 2, sort="small")
    add_node(kubernetes_double, "n2", 8, sort="large")
    row = looked(gpus=4, node_selector={"sort": "small"})["nodes with nvidia.com/gpu"]
    assert "more than 2" in row.fix
    assert not row.blocks  # more nodes may come when they are asked for
    assert looked(gpus=4)["nodes with nvidia.com/gpu"].read == "up to 8 on one node"
