import pytest

from autotuner.errors import LaunchError
from autotuner.launchers.kubernetes.removal import KINDS, access_of, main, removal_will
from autotuner.spec.launching import PodSettings

OURS = "0123456789abcdef"
LABELS = {"app.kubernetes.io/managed-by": "autotuner", "autotuner/lease": OURS}


@pytest.fixture
def settings(kubernetes_double, tmp_path):
    return PodSettings(kubeconfig=str(kubernetes_double.kubeconfig(tmp_path / "kubeconfig")))


@pytest.fixture
def words(settings):
    """Arguments of the removal."""
    return list(removal_will(OURS, "pods", access_of(settings)).command[3:])


def add_pod(double, **metadata):
    spec = {"containers": [{"name": "c", "image": "i"}]}
    double.add("pods", {"metadata": {"name": "p", "labels": LABELS, **metadata}, "spec": spec})


def test_an_access_is_spelled_out(settings):
    assert access_of(settings) == {
        "kubeconfig": settings.kubeconfig,
        "context": "double",
        "namespace": "default",
    }


def test_without_an_access_nothing_is_started():
    with pytest.raises(LaunchError, match="no kubeconfig at /no/such"):
        access_of(PodSettings(kubeconfig="/no/such"))


def test_a_will_says_where_and_holds_neither_mark_nor_secrets(settings, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hidden")
    will = removal_will(OURS, "ome", access_of(settings))
    assert will.command[3:5] == (OURS, "ome")
    assert will.command[7:9] == ("--context", "double")
    assert "AUTOTUNER_LEASE" not in will.environment
    assert "hidden" not in will.environment.values()


def test_in_a_cluster_there_is_no_file_to_name():
    access = {"kubeconfig": None, "context": None, "namespace": "tuning"}
    assert removal_will(OURS, "pods", access).command[5:] == ("--namespace", "tuning")


def test_a_will_that_is_carried_out_leaves_nothing(settings, kubernetes_double):
    add_pod(kubernetes_double)
    will = removal_will(OURS, "pods", access_of(settings))
    assert will.carry_out() is None
    assert kubernetes_double.objects("pods") == []
    assert will.carry_out() is None


def test_what_cannot_be_removed_is_told_in_one_line(words, kubernetes_double, capsys):
    kubernetes_double.faults.forbid("list", "pods")
    assert main(words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Kubernetes: pods is forbidden")
    assert err.count("\n") == 1


def test_what_does_not_go_is_told_too(words, kubernetes_double, capsys, monkeypatch):
    monkeypatch.setattr("autotuner.launchers.kubernetes.removal._PATIENCE_S", 0.0)
    add_pod(kubernetes_double, finalizers=["x.io/y"])
    assert main(words) == 1
    assert "left in namespace default: Pod p" in capsys.readouterr().err


def test_every_launcher_has_its_kinds():
    assert {kind.name for kind in KINDS["pods"]} < {kind.name for kind in KINDS["ome"]}
