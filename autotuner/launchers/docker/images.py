"""Images on a node: there, or pulled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from docker.errors import APIError, ImageNotFound
from docker.utils import parse_repository_tag

from autotuner.launchers.docker.daemon import LOST, DockerFaultError, failed
from autotuner.launchers.docker.faults import fault_of_pull

__all__ = ["find_image", "image_facts", "obtain_image"]


def find_image(client: Any, name: str) -> dict[str, Any] | None:
    """What the daemon knows of an image; None where it is not on this node."""
    try:
        found: dict[str, Any] = client.images.get(name).attrs
    except ImageNotFound:
        return None
    return found


def obtain_image(client: Any, name: str, pull: str, tell: Callable[[str], None]) -> dict[str, Any]:
    """The image, pulled where the rule ``pull`` says so.

    Args:
        tell: Hears of a pull's beginning and end, which may be minutes apart.

    Raises:
        DockerFaultError: it is not to be had.
    """
    found = None if pull == "always" else find_image(client, name)
    if found is not None:
        return found
    if pull == "never":
        raise failed(
            f"the image {name} is not on this node, and docker.pull = never: bring it there with "
            "`docker pull` or `docker load`, or write `pull: missing`"
        )
    tell(f"pulling the image {name}")
    _pull(client, name)
    tell(f"pulled the image {name}")
    found = find_image(client, name)
    if found is None:
        raise failed(f"the image {name} was pulled, and is not on this node under this name")
    return found


def image_facts(name: str, image: dict[str, Any]) -> dict[str, object]:
    """Columns of a row: the name, and what tells two images of that name apart.

    A digest is the same on every node that has pulled the image, an id wherever it was made once.
    """
    repository, tag = parse_repository_tag(name)
    if "@" in name:
        return {"image": name, "image_id": tag}
    for digest in image.get("RepoDigests") or ():
        # The registry's name may be left out on either side.
        of, _, identity = str(digest).rpartition("@")
        if of.endswith(repository) or repository.endswith(of):
            return {"image": name, "image_id": identity}
    return {"image": name, "image_id": str(image["Id"])}


def _pull(client: Any, name: str) -> None:
    repository, tag = parse_repository_tag(name)
    try:
        # Streamed: what goes wrong in the middle of a pull is one of its lines.
        for line in client.api.pull(repository, tag=tag or "latest", stream=True, decode=True):
            if "error" in line:
                raise DockerFaultError(fault_of_pull(RuntimeError(line["error"]), name))
    except (APIError, *LOST) as error:
        raise DockerFaultError(fault_of_pull(error, name)) from error
