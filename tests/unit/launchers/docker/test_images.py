import pytest
from docker.errors import ImageNotFound

from autotuner.launchers.docker.daemon import DockerFaultError
from autotuner.launchers.docker.images import image_facts, obtain_image


class Daemon:
    """Has some images, and gets others by a pull."""

    def __init__(self, *there, in_registry=(), error=None):
        self.there, self.in_registry, self.error = set(there), set(in_registry), error
        self.pulled = []
        self.images = self.api = self

    def get(self, name):
        if name not in self.there:
            raise ImageNotFound("404")
        return type("Image", (), {"attrs": {"Id": f"sha256:{name}"}})

    def pull(self, repository, tag, stream, decode):
        self.pulled.append(f"{repository}:{tag}")
        yield {"status": "Pulling"}
        if self.error:
            yield {"error": self.error}
        self.there |= self.in_registry


@pytest.fixture
def obtain():
    def obtain(daemon, name="reg:5000/an/image:1", pull="missing"):
        told = []
        found = obtain_image(daemon, name, pull, told.append)
        return found["Id"], daemon.pulled, len(told)

    return obtain


NAME = "reg:5000/an/image:1"


def test_an_image_that_is_there_is_not_pulled(obtain):
    assert obtain(Daemon(NAME)) == (f"sha256:{NAME}", [], 0)


def test_one_that_is_missing_is_pulled_and_the_log_says_so(obtain):
    assert obtain(Daemon(in_registry=[NAME])) == (f"sha256:{NAME}", [NAME], 2)


def test_always_means_also_where_it_is_there(obtain):
    assert obtain(Daemon(NAME), pull="always")[1] == [NAME]


def test_never_means_that_a_missing_one_is_a_failure(obtain):
    daemon = Daemon(in_registry=[NAME])
    with pytest.raises(DockerFaultError) as caught:
        obtain(daemon, pull="never")
    assert daemon.pulled == []
    assert "docker.pull = never" in caught.value.fault.message


def test_an_error_in_the_middle_of_a_pull_is_seen(obtain):
    with pytest.raises(DockerFaultError) as caught:
        obtain(Daemon(error="unauthorized: authentication required"))
    assert "docker login" in caught.value.fault.message


def test_without_a_tag_it_is_the_latest_and_not_all(obtain):
    daemon = Daemon(in_registry=["an/image"])
    assert obtain(daemon, "an/image")[1] == ["an/image:latest"]


def test_a_digest_tells_images_apart_and_an_id_where_there_is_none():
    pulled = {"Id": "sha256:id", "RepoDigests": ["other@sha256:x", "an/image@sha256:digest"]}
    assert image_facts("an/image:1", pulled)["image_id"] == "sha256:digest"
    assert image_facts("docker.io/an/image:1", pulled)["image_id"] == "sha256:digest"
    pinned = "an/image:1@sha256:pinned"
    assert image_facts(pinned, pulled)["image_id"] == "sha256:pinned"
    assert image_facts("an/image:1", {"Id": "sha256:id", "RepoDigests": None}) == {
        "image": "an/image:1",
        "image_id": "sha256:id",
    }
