import pytest
import yaml

from autotuner.kubernetes_api import connection
from autotuner.kubernetes_api.connection import Access, connected
from autotuner.kubernetes_api.faults import ForbiddenError, UnreachableError
from autotuner.kubernetes_api.kinds import POD


@pytest.fixture
def kubeconfig(kubernetes_double, tmp_path):
    """A file whose current context is ``one``, and which has another, ``two``."""
    path = kubernetes_double.kubeconfig(tmp_path / "kubeconfig")
    content = yaml.safe_load(path.read_text())
    (context,) = content["contexts"]
    other = {"name": "two", "context": {**context["context"], "namespace": "tuning"}}
    content["contexts"] = [{**context, "name": "one"}, other]
    content["current-context"] = "one"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_the_current_context_counts_where_none_is_named(kubeconfig):
    assert Access(kubeconfig).pinned() == Access(kubeconfig, "one", "default")


def test_a_context_brings_its_namespace_unless_one_is_named(kubeconfig):
    assert Access(kubeconfig, "two").pinned() == Access(kubeconfig, "two", "tuning")
    assert Access(kubeconfig, "two", "mine").pinned() == Access(kubeconfig, "two", "mine")


def test_the_environments_kubeconfig_counts_where_the_study_names_none(kubeconfig, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", kubeconfig)
    assert Access().pinned().kubeconfig == kubeconfig


def test_a_pinned_access_stays_when_the_current_context_changes(kubeconfig, tmp_path):
    pinned = Access(kubeconfig).pinned()
    content = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    content["current-context"] = "two"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(content))
    with connected(pinned) as cluster:
        assert cluster.namespace == "default"


def test_a_context_that_the_file_lacks_is_named_with_those_it_has(kubeconfig):
    with pytest.raises(UnreachableError, match=r"context = three: .* but one, two"):
        Access(kubeconfig, "three").pinned()


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UnreachableError, match=f"no kubeconfig at {tmp_path}/none"):
        Access(str(tmp_path / "none")).pinned()


def test_a_file_that_is_no_kubeconfig_is_one_sentence(tmp_path):
    path = tmp_path / "torn"
    path.write_text("{")
    with pytest.raises(UnreachableError, match=r"no access to a Kubernetes cluster by .*torn"):
        Access(str(path)).pinned()


def test_the_account_of_our_own_pod_counts_unless_the_study_names_a_file(
    kubeconfig, tmp_path, monkeypatch
):
    monkeypatch.setattr(connection, "_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
    (tmp_path / "token").write_text("t")
    (tmp_path / "namespace").write_text("ours\n")
    assert Access().pinned() == Access(None, None, "ours")
    assert Access(kubeconfig).pinned().namespace == "default"


def test_credentials_that_are_not_accepted_say_so(kubernetes_double, tmp_path):
    path = kubernetes_double.kubeconfig(tmp_path / "kubeconfig", token="another")  # noqa: S106
    with (
        connected(Access(str(path))) as cluster,
        pytest.raises(ForbiddenError, match="does not accept our credentials"),
    ):
        cluster.find(POD, "p")
