import threading

import pytest

from autotuner.kubernetes_api.kinds import POD
from autotuner.kubernetes_api.watching import Mirror

POD_OBJECT = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "labels": {"app": "mine"}},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}
LABELS = {"app": "mine"}


def named(name, **labels):
    return {**POD_OBJECT, "metadata": {"name": name, "labels": labels or LABELS}}


def names(mirror):
    return [each["metadata"]["name"] for each in mirror.objects]


@pytest.fixture
def mirror(cluster):
    with Mirror(cluster, POD, labels=LABELS) as mirror:
        yield mirror


def phase(mirror):
    return [each.get("status", {}).get("phase") for each in mirror.objects]


def test_it_shows_what_is_there_what_comes_and_what_goes(cluster, mirror, comes):
    assert comes(lambda: mirror.listed)
    assert mirror.objects == ()
    cluster.apply(named("p"))
    cluster.apply(named("other", app="other"))
    assert comes(lambda: names(mirror) == ["p"])
    assert mirror.objects[0]["kind"] == "Pod"
    cluster.delete(POD, "p")
    assert comes(lambda: names(mirror) == [])


def test_one_object_by_its_name(cluster, comes):
    cluster.apply(named("p"))
    cluster.apply(named("q"))
    with Mirror(cluster, POD, name="q") as mirror:
        assert comes(lambda: names(mirror) == ["q"])


def test_it_tells_of_a_change(cluster, kubernetes_double, mirror, comes):
    cluster.apply(named("p"))
    assert comes(lambda: names(mirror) == ["p"])
    kubernetes_double.patch_status("pods", "default", "p", {"phase": "Running"})
    assert comes(lambda: phase(mirror) == ["Running"])


def test_several_share_one_bell(cluster, comes):
    changed = threading.Condition()
    with (
        Mirror(cluster, POD, labels=LABELS, changed=changed) as mirror,
        Mirror(cluster, POD, labels={"app": "other"}, changed=changed) as other,
    ):
        assert comes(lambda: mirror.listed and other.listed)
        with changed:
            cluster.apply(named("p"))
            assert changed.wait_for(lambda: mirror.objects, timeout=30.0)


def test_a_watch_that_is_cut_goes_on(cluster, kubernetes_double, mirror, comes):
    assert comes(lambda: mirror.listed)
    kubernetes_double.faults.cut_watches()
    cluster.apply(named("p"))
    assert comes(lambda: names(mirror) == ["p"])


def test_a_version_that_is_forgotten_is_listed_anew(cluster, kubernetes_double, mirror, comes):
    cluster.apply(named("p"))
    assert comes(lambda: names(mirror) == ["p"])
    kubernetes_double.faults.go_away()
    kubernetes_double.delete("pods", "default", "p")
    kubernetes_double.faults.expire_watches()
    kubernetes_double.faults.come_back()
    assert comes(lambda: names(mirror) == [])
    assert mirror.problem is None


def test_an_outage_is_counted_and_survived(cluster, kubernetes_double, mirror, comes):
    assert comes(lambda: mirror.listed)
    assert mirror.silent_s == 0.0
    kubernetes_double.faults.go_away()
    assert comes(lambda: mirror.silent_s > 0.1)
    kubernetes_double.faults.come_back()
    cluster.apply(named("p"))
    assert comes(lambda: names(mirror) == ["p"])
    assert comes(lambda: mirror.silent_s == 0.0)
    assert mirror.problem is None


def test_a_busy_server_is_asked_again(cluster, kubernetes_double, comes):
    kubernetes_double.faults.answer(429, 1, retry_after_s=0, path="/pods")
    kubernetes_double.faults.answer(500, 2, path="/pods")
    with Mirror(cluster, POD, labels=LABELS) as mirror:
        assert comes(lambda: mirror.listed)


def test_where_it_may_not_look_it_says_so(cluster, kubernetes_double, comes):
    kubernetes_double.faults.forbid("list", "pods")
    with Mirror(cluster, POD, labels=LABELS) as mirror:
        assert comes(lambda: mirror.problem is not None)
        assert "pods is forbidden" in str(mirror.problem)


def test_its_end_leaves_no_thread(cluster, comes):
    with Mirror(cluster, POD, labels=LABELS) as mirror:
        assert comes(lambda: mirror.listed)
    assert not mirror._thread.is_alive()
