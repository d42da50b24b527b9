"""Everything that a format needs to write the chosen experiment down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath

from autotuner.errors import UserError
from autotuner.export.header import header_of
from autotuner.export.images import image_of
from autotuner.export.selection import Selection
from autotuner.export.words import (
    SecretRef,
    Word,
    command_words,
    environment_of,
    one_line,
    secrets_of,
)
from autotuner.spec.launching import DockerSettings, Mount, OmeSettings, PodSettings
from autotuner.spec.server import Footprint, Model, ServerConfig

__all__ = ["Deployment", "Options", "deployment_of", "resource_name"]

LOOPBACK, ANYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104 - within a container only
_MOST_NAME_CHARS = 50
_SHM_GIB = 16.0
"""Of what was measured without a container, of which /dev/shm would be 64 MB by default."""
_LEGAL_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Options:
    """What the user may decide about a deployment."""

    port: int = 8000
    served_name: str | None = None
    image: str | None = None
    name: str | None = None
    """Of containers and cluster objects; None: made from the model's name."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A server to be written down in some format."""

    selection: Selection
    server: ServerConfig
    footprint: Footprint
    options: Options
    name: str
    model_name: str
    """The model as the name of a cluster object."""
    served_name: str
    header: tuple[str, ...]
    """Lines of the comment at the top, without comment signs; each fits on a line."""

    @property
    def command_on_host(self) -> tuple[Word, ...]:
        """The command where the engine is installed as it was on the nodes."""
        return self._command(self.server, LOOPBACK)

    @property
    def command_in_container(self) -> tuple[Word, ...]:
        """The command within an image, with a program of the image."""
        return self._command(_in_container(self.server), ANYWHERE)

    def command_with_model_at(self, path: str) -> tuple[Word, ...]:
        """The command within an image, where something else says where the model lies."""
        server = _in_container(self.server)
        return self._command(replace(server, model=replace(server.model, path=path)), ANYWHERE)

    @property
    def environment(self) -> Mapping[str, Word]:
        return environment_of(self.server)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Variables that must be set where this is deployed, and whose values we do not write."""
        return secrets_of((*self.environment.values(), *self.command_on_host))

    @property
    def flag_secrets(self) -> tuple[str, ...]:
        """Those of `secrets` that are arguments of the server and not in its environment."""
        return tuple(name for name in self.secrets if name not in self.environment)

    @property
    def model_folder(self) -> str | None:
        """The model's folder on the host; None where the server fetches it from a hub."""
        path = self.server.model.path
        return path if is_folder(self.server.model) else None

    @property
    def hub_cache(self) -> str:
        """Where the server within a container keeps what it fetches from a hub."""
        home = self.environment.get("HF_HOME")
        return home if isinstance(home, str) and home else "/root/.cache/huggingface"

    @property
    def container_notes(self) -> tuple[str, ...]:
        """What the configuration names of its nodes, and a container does not have."""
        folder = self.model_folder
        foreign = [
            f"{name} {value}"
            for name, value in (*self.server.flags.items(), *self.environment.items())
            if isinstance(value, str) and value.startswith("/")
            if folder is None or not PurePath(value).is_relative_to(folder)
        ]
        foreign += [f"{m.source} at {m.target}" for m in self._mounts if m.target != folder]
        if not foreign:
            return ()
        return (one_line(f"NOT MOUNTED, for you to add: {', '.join(foreign)}"),)

    @property
    def _mounts(self) -> tuple[Mount, ...]:
        """What of the nodes was in the container that was measured, beside the model."""
        launch = self.server.launch
        return launch.mounts if isinstance(launch, DockerSettings) else ()

    @property
    def gpus(self) -> int:
        return self.footprint.gpus

    @property
    def image(self) -> str:
        """
        Raises:
            UserError: the user must name one.
        """
        versions = self.selection.measured("engine_version")
        return image_of(self.server, versions, self.footprint, self.options.image)

    @property
    def shm_gib(self) -> float:
        """Size of /dev/shm, through which the engines' processes talk."""
        launch = self.server.launch
        settings = launch.pod if isinstance(launch, OmeSettings) else launch
        return _SHM_GIB if settings is None else settings.shm_gib

    @property
    def gpu_resource(self) -> str:
        """What a Kubernetes cluster calls a GPU."""
        launch = self.server.launch
        settings = launch.pod if isinstance(launch, OmeSettings) else launch
        named = settings.gpu_resource if isinstance(settings, PodSettings) else None
        return named or PodSettings().gpu_resource

    def _command(self, server: ServerConfig, host: str) -> tuple[Word, ...]:
        return command_words(
            server, host=host, port=self.options.port, served_name=self.served_name
        )


def deployment_of(selection: Selection, options: Options) -> Deployment:
    """What is to be written down of the selected experiment.

    Raises:
        UserError: the study does not say how its servers start, or an option is not usable.
    """
    experiment = selection.experiment
    if experiment.server is None or experiment.footprint is None:
        raise UserError(
            f"the study does not say how the server of {experiment.id} is started, so there is "
            "nothing to export"
        )
    if experiment.footprint.nodes > 1:
        raise UserError(f"{experiment.id} spans several nodes, which no format here can say")
    if not 1 <= options.port <= 65535:
        raise UserError(f"--port {options.port}: a port is between 1 and 65535")
    server = experiment.server
    served_name = options.served_name or _served_name(server.model)
    deployment = Deployment(
        selection=selection,
        server=server,
        footprint=experiment.footprint,
        options=options,
        name=_name(options.name, served_name),
        model_name=_model_name(server),
        served_name=served_name,
        header=header_of(selection),
    )
    words = [*deployment.command_on_host, *deployment.environment.values()]
    if any("\0" in word for word in words if not isinstance(word, SecretRef)):
        raise UserError("a zero byte in the server's name or arguments: no process can take it")
    return deployment


def is_folder(model: Model) -> bool:
    return model.path.startswith("/")


def resource_name(text: str) -> str:
    """A name that containers, Kubernetes and OME take, made from any text."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if not words[:1].isalpha():
        words = f"model-{words}"
    return words[:_MOST_NAME_CHARS].strip("-")


def _name(wanted: str | None, served_name: str) -> str:
    if wanted is None:
        return resource_name(PurePath(served_name).name)
    if not _LEGAL_NAME.fullmatch(wanted) or len(wanted) > _MOST_NAME_CHARS:
        raise UserError(
            f"--name {wanted!r}: at most {_MOST_NAME_CHARS} lower-case letters, digits and "
            "dashes, a letter first and no dash last"
        )
    return wanted


def _model_name(server: ServerConfig) -> str:
    if isinstance(server.launch, OmeSettings):
        return server.launch.base_model
    return resource_name(PurePath(server.model.path).name)


def _served_name(model: Model) -> str:
    """Clients of a hub model know it by its whole id, those of a folder by the folder's name."""
    return PurePath(model.path).name if is_folder(model) else model.path


def _in_container(server: ServerConfig) -> ServerConfig:
    """The server with a program of the image: the path of the nodes means nothing there."""
    if server.launch is not None and server.executable is not None:
        return server
    return replace(server, executable="python3" if server.engine == "sim" else None)
