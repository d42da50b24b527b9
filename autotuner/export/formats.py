"""The formats by name."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from autotuner.export.deployment import Deployment
from autotuner.export.docker import compose_file, docker_script
from autotuner.export.json_record import json_record
from autotuner.export.kubernetes import kubernetes_manifests
from autotuner.export.ome import ome_manifests
from autotuner.export.shell import shell_script

__all__ = ["Format", "written"]


class Format(StrEnum):
    """As what a configuration is written down."""

    SHELL = "shell"
    DOCKER = "docker"
    COMPOSE = "compose"
    KUBERNETES = "kubernetes"
    OME = "ome"
    JSON = "json"

    @property
    def is_script(self) -> bool:
        """Whether the file is made to be executed."""
        return self in (Format.SHELL, Format.DOCKER)


_WRITERS: dict[Format, Callable[[Deployment], str]] = {
    Format.SHELL: shell_script,
    Format.DOCKER: docker_script,
    Format.COMPOSE: compose_file,
    Format.KUBERNETES: kubernetes_manifests,
    Format.OME: ome_manifests,
    Format.JSON: json_record,
}


def written(deployment: Deployment, format_: Format) -> str:
    """The deployment in a format.

    Raises:
        UserError: the format needs something that must be given, or cannot hold a value.
    """
    return _WRITERS[format_](deployment)
