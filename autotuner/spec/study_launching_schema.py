"""The launchers' sections of a study file, as written: ``docker``, ``kubernetes``, ``ome``.

Rules that look at more than one key are in `study_launching`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from autotuner.spec.cluster_names import (
    name_fault,
    namespace_fault,
    resource_fault,
)
from autotuner.spec.study_launching_hints import DOCKER_HINTS, OME_HINTS, POD_HINTS
from autotuner.spec.study_problems import unknown_name
from autotuner.spec.study_schema import Image, Section, Text, checked, example, fault

__all__ = [
    "DockerSection",
    "KubernetesName",
    "OmeSection",
    "PodSection",
    "TolerationSection",
    "one_of",
]

RAY_RESOURCES = ("CPU", "GPU", "memory", "object_store_memory")


def one_of(*options: str, what: str) -> AfterValidator:
    """A validator of text that is one of some."""
    return checked(lambda value: None if value in options else unknown_name(value, options, what))


def _daemon_fault(address: str) -> str | None:
    if address.startswith(("unix:///", "tcp://")):
        return None
    scheme = f"unix://{address}" if address.startswith("/") else "unix:///run/docker.sock"
    return f"write the daemon's address with its scheme: `{scheme}`, or `tcp://host:port`"


def _quota_fault(name: str) -> str | None:
    if name in RAY_RESOURCES:
        return f"`{name}` is Ray's own; write a custom resource, such as `kubernetes_gpus`"
    return None


def _absolute_fault(path: str) -> str | None:
    return None if path.startswith("/") else "write an absolute path, as it is in the pod"


def _user(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _plain_value(value: object) -> object:
    if value is None or isinstance(value, dict | list):
        raise fault('write text here; "" for an empty one')
    return value


KubernetesName = Annotated[Text, checked(name_fault)]
Gib = Annotated[float, Field(gt=0)]
PlainText = Annotated[Any, AfterValidator(_plain_value)]
"""Text, or what YAML makes a number or a boolean of; read as it is spelled."""
Names = Annotated[list[KubernetesName], BeforeValidator(_listed)]

_IMAGE = example("registry.example:5000/vllm:mine", default=None)
_SHM_GIB = example(16, default=None)


class DockerSection(Section):
    image: Image | None = _IMAGE
    pull: Annotated[str, one_of("missing", "always", "never", what="rule")] = example(
        "missing", default="missing"
    )
    daemon: Annotated[Text, checked(_daemon_fault)] | None = example(
        "unix:///run/docker.sock", default=None
    )
    network: Annotated[str, one_of("host", "bridge", what="network")] = example(
        "host", default="host"
    )
    ipc: Annotated[str, one_of("private", "host", what="mode")] = example(
        "private", default="private"
    )
    shm_gib: Gib | None = _SHM_GIB
    memory_gib: Gib | None = example(64, default=None)
    runtime: Text | None = example("nvidia", default=None)
    user: Annotated[Text | None, BeforeValidator(_user)] = example('"1000:1000"', default=None)
    hub_cache: Text | None = example("/var/cache/huggingface", default=None)
    mounts: Annotated[list[Text], BeforeValidator(_listed)] = example(["/data/prompts"], default=[])
    ulimits: dict[str, Annotated[int, Field(ge=-1)]] = example("{memlock: -1}", default={})

    hints = DOCKER_HINTS


class TolerationSection(Section):
    key: Text | None = example("nvidia.com/gpu", default=None)
    operator: Annotated[str, one_of("Exists", "Equal", what="operator")] | None = example(
        "Exists", default=None
    )
    value: str | None = example('"true"', default=None)
    effect: (
        Annotated[str, one_of("NoSchedule", "PreferNoSchedule", "NoExecute", what="effect")] | None
    ) = example("NoSchedule", default=None)
    tolerationSeconds: int | None = example(60, default=None)  # noqa: N815 - Kubernetes' name


class PodSection(Section):
    image: Image | None = _IMAGE
    namespace: Annotated[Text, checked(namespace_fault)] | None = example("tuning", default=None)
    kubeconfig: Text | None = example("~/.kube/config", default=None)
    context: Text | None = example("my-cluster", default=None)
    quota: Annotated[Text, checked(_quota_fault)] | None = example("kubernetes_gpus", default=None)
    unschedulable_s: Annotated[float, Field(gt=0)] | None = example(300, default=None)
    gpu_resource: Annotated[Text, checked(resource_fault)] | None = example(
        "nvidia.com/gpu", default=None
    )
    requests: dict[str, PlainText] = example("{cpu: 8, memory: 64Gi}", default={})
    shm_gib: Gib | None = _SHM_GIB
    model_claim: KubernetesName | None = example("models", default=None)
    model_mount: Annotated[Text, checked(_absolute_fault)] | None = example("/models", default=None)
    model_on_nodes: bool = example("true", default=False)
    secret: KubernetesName | None = example("hub-token", default=None)
    service_account: KubernetesName | None = example("tuning", default=None)
    runtime_class: KubernetesName | None = example("nvidia", default=None)
    image_pull_secrets: Names = example(["registry"], default=[])
    node_selector: dict[str, PlainText] = example("{disk: fast}", default={})
    tolerations: list[Any] = example("[{key: nvidia.com/gpu, operator: Exists}]", default=[])
    affinity: dict[str, Any] = example("{nodeAffinity: {...}}", default={})
    labels: dict[str, PlainText] = example("{team: inference}", default={})
    annotations: dict[str, PlainText] = example("{note: text}", default={})

    hints = POD_HINTS


class OmeSection(PodSection):
    base_model: KubernetesName = example("llama-3-1-8b-instruct")
    base_model_kind: Annotated[str, one_of("ClusterBaseModel", "BaseModel", what="kind")] = example(
        "ClusterBaseModel", default="ClusterBaseModel"
    )
    runtime: KubernetesName | None = example("vllm-llama", default=None)
    runtime_kind: (
        Annotated[str, one_of("ClusterServingRuntime", "ServingRuntime", what="kind")] | None
    ) = example("ServingRuntime", default=None)

    hints = OME_HINTS
