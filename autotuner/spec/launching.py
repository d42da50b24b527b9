"""How a server that is no plain process is brought up: as a container, a pod, or an OME service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

__all__ = [
    "DockerSettings",
    "LaunchSettings",
    "Mount",
    "OmeSettings",
    "PodSettings",
    "decisive_settings",
]


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of the node inside a container."""

    source: str
    """Absolute path on the node."""
    target: str
    """Absolute path in the container."""
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class DockerSettings:
    """A container on the node of the attempt."""

    OPERATIONAL: ClassVar = frozenset({"pull", "daemon"})

    kind: Literal["docker"] = "docker"
    image: str | None = None
    """None: the engine's own image of `EngineConfig.version`."""
    pull: str = "missing"
    """``missing``, ``always`` or ``never``."""
    daemon: str | None = None
    """Address of the Docker daemon; None: the node's DOCKER_HOST, else its default socket."""
    network: str = "host"
    """``host``; or ``bridge``, with the port published on the node's loopback alone."""
    ipc: str = "private"
    """``private`` with a /dev/shm of ``shm_gib``, or ``host``."""
    shm_gib: float = 16.0
    """The engines' processes talk through /dev/shm, of which containers get 64 MB by default."""
    memory_gib: float | None = None
    runtime: str | None = None
    user: str | None = None
    """``uid``, ``uid:gid`` or a name of the image; None: the image's own."""
    hub_cache: str | None = None
    """Folder of the node that is the container's Hugging Face cache; None: the node's own."""
    mounts: tuple[Mount, ...] = ()
    ulimits: Mapping[str, int] = field(default_factory=dict)
    """Name, such as ``memlock``, -> soft and hard limit; -1: none."""

    @property
    def quota(self) -> None:
        """None: the container takes GPUs of the node of its attempt."""


@dataclass(frozen=True, slots=True)
class PodSettings:
    """A pod and a service in front of it, in a Kubernetes cluster."""

    OPERATIONAL: ClassVar = frozenset(
        {
            "namespace",
            "kubeconfig",
            "context",
            "quota",
            "unschedulable_s",
            "image_pull_secrets",
            "labels",
            "annotations",
        }
    )

    kind: Literal["kubernetes"] = "kubernetes"
    image: str | None = None
    """None: the engine's own image of `EngineConfig.version`."""
    namespace: str | None = None
    """None: that of the context, in a cluster that of our own pod."""
    kubeconfig: str | None = None
    """File on the nodes; None: the account of our own pod, else KUBECONFIG or ~/.kube/config."""
    context: str | None = None
    quota: str = "kubernetes_gpus"
    """Custom Ray resource of which an attempt reserves as much as it takes GPUs, at least 1."""
    unschedulable_s: float = 300.0
    """A pod that no node takes for so long is given up."""
    gpu_resource: str = "nvidia.com/gpu"
    requests: Mapping[str, str] = field(default_factory=dict)
    """Of other resources, such as ``cpu`` and ``memory``; limits are the same."""
    shm_gib: float = 16.0
    model_claim: str | None = None
    """PersistentVolumeClaim, mounted read-only at ``model_mount``."""
    model_mount: str | None = None
    """None: the model's folder."""
    model_on_nodes: bool = False
    """Whether the model's folder is mounted from the nodes of the Kubernetes cluster."""
    secret: str | None = None
    """Existing Secret whose keys become variables of the server, such as HF_TOKEN."""
    service_account: str | None = None
    runtime_class: str | None = None
    image_pull_secrets: tuple[str, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    affinity: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OmeSettings:
    """An OME InferenceService."""

    OPERATIONAL: ClassVar[frozenset[str]] = frozenset()

    base_model: str
    """Name of the object that says where the model lies."""
    kind: Literal["ome"] = "ome"
    base_model_kind: str = "ClusterBaseModel"
    runtime: str | None = None
    """Existing runtime to use; None: one is made for each attempt."""
    runtime_kind: str = "ClusterServingRuntime"
    pod: PodSettings = field(default_factory=PodSettings)

    @property
    def image(self) -> str | None:
        return self.pod.image

    @property
    def quota(self) -> str:
        return self.pod.quota


LaunchSettings = DockerSettings | PodSettings | OmeSettings


def decisive_settings(settings: LaunchSettings) -> dict[str, Any]:
    """What of the settings can change a measurement, as plain values.

    Where objects are kept, for one, cannot.
    """
    content = asdict(settings)
    if isinstance(settings, OmeSettings):
        content["pod"] = decisive_settings(settings.pod)
    return {name: value for name, value in content.items() if name not in settings.OPERATIONAL}
