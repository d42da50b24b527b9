import pytest

from autotuner.kubernetes_api.pod_log import PodLog

POD_OBJECT = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}


@pytest.fixture
def log_file(cluster, kubernetes_double, tmp_path):
    """What the pod ``p`` writes, into a file."""
    cluster.apply(POD_OBJECT)
    kubernetes_double.patch_status("pods", "default", "p", {"phase": "Running"})
    path = tmp_path / "log"
    path.write_text("")
    kubernetes_double.set_log("default", "p", path)
    return path


def write(path, *lines):
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def end(double):
    double.patch_status("pods", "default", "p", {"phase": "Succeeded"})


def test_every_line_is_handed_on_as_it_comes(cluster, kubernetes_double, log_file, comes):
    heard = []
    with PodLog(cluster, "p", "c", heard.append) as log:
        write(log_file, "one", "two")
        assert comes(lambda: heard == [b"one", b"two"])
        write(log_file, "", "three")
        end(kubernetes_double)
        assert log.join(30.0)
    assert heard == [b"one", b"two", b"", b"three"]


def test_over_connections_that_break_each_line_comes_once(
    cluster, kubernetes_double, log_file, comes
):
    heard = []
    with PodLog(cluster, "p", "c", heard.append) as log:
        for number in range(4):
            write(log_file, f"{number} first", f"{number} second")
            assert comes(lambda n=number: len(heard) == 2 * n + 2)
            kubernetes_double.faults.go_away()
            kubernetes_double.faults.come_back()
        end(kubernetes_double)
        assert log.join(30.0)
    assert heard == [f"{n} {word}".encode() for n in range(4) for word in ("first", "second")]


def test_a_pod_that_is_removed_ends_its_log(cluster, kubernetes_double, log_file, comes):
    heard = []
    with PodLog(cluster, "p", "c", heard.append) as log:
        write(log_file, "one")
        assert comes(lambda: heard)
        kubernetes_double.delete("pods", "default", "p", grace_s=0)
        assert log.join(30.0)
    assert heard == [b"one"]


def test_a_log_that_goes_on_can_be_left(cluster, log_file, comes):
    heard = []
    with PodLog(cluster, "p", "c", heard.append) as log:
        write(log_file, "one")
        assert comes(lambda: heard)
    assert not log._thread.is_alive()
