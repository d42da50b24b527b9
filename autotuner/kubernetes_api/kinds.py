"""The kinds of objects that are read or made, and where in the API's paths they lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

__all__ = [
    "ACCESS_REVIEW",
    "BASE_MODEL",
    "BENCHMARK_JOB",
    "CLUSTER_BASE_MODEL",
    "CLUSTER_SERVING_RUNTIME",
    "EVENT",
    "INFERENCE_SERVICE",
    "JOB",
    "LEASE",
    "NAMESPACE",
    "NODE",
    "POD",
    "SECRET",
    "SERVICE",
    "SERVING_RUNTIME",
    "VOLUME_CLAIM",
    "Kind",
    "kind_named",
    "kind_of",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects."""

    api_version: str
    """With its group, such as ``ome.io/v1beta1``; ``v1`` for the core's."""
    name: str
    """Such as ``Pod``."""
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """Empty for the core's."""
        return self.api_version.rpartition("/")[0]

    @property
    def resource(self) -> str:
        """As messages and roles name it, such as ``inferenceservices.ome.io``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str, name: str | None = None, subresource: str | None = None) -> str:
        """Path of all of them in a namespace, of one, or of a part of one."""
        root = "apis" if self.group else "api"
        parts = [root, *self.api_version.split("/")]
        if self.namespaced:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part is not None]
        return "/" + "/".join(quote(part, safe="") for part in parts)


POD = Kind("v1", "Pod", "pods")
SERVICE = Kind("v1", "Service", "services")
SECRET = Kind("v1", "Secret", "secrets")
EVENT = Kind("v1", "Event", "events")
VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
NODE = Kind("v1", "Node", "nodes", namespaced=False)
JOB = Kind("batch/v1", "Job", "jobs")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
ACCESS_REVIEW = Kind(
    "authorization.k8s.io/v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    namespaced=False,
)
_OME = "ome.io/v1beta1"
INFERENCE_SERVICE = Kind(_OME, "InferenceService", "inferenceservices")
SERVING_RUNTIME = Kind(_OME, "ServingRuntime", "servingruntimes")
CLUSTER_SERVING_RUNTIME = Kind(
    _OME, "ClusterServingRuntime", "clusterservingruntimes", namespaced=False
)
BASE_MODEL = Kind(_OME, "BaseModel", "basemodels")
CLUSTER_BASE_MODEL = Kind(_OME, "ClusterBaseModel", "clusterbasemodels", namespaced=False)
BENCHMARK_JOB = Kind(_OME, "BenchmarkJob", "benchmarkjobs")

_KINDS = {
    kind.name: kind
    for kind in (
        *(POD, SERVICE, SECRET, EVENT, VOLUME_CLAIM, NAMESPACE, NODE, JOB, LEASE, ACCESS_REVIEW),
        *(INFERENCE_SERVICE, SERVING_RUNTIME, CLUSTER_SERVING_RUNTIME),
        *(BASE_MODEL, CLUSTER_BASE_MODEL, BENCHMARK_JOB),
    )
}


def kind_named(name: str) -> Kind:
    """The kind of this name, such as ``ClusterBaseModel``."""
    return _KINDS[name]


def kind_of(content: Mapping[str, Any]) -> Kind:
    """The kind of an object."""
    return _KINDS[content["kind"]]
