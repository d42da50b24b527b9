"""The kinds of objects that the double serves, and where in its paths they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["BUILT_IN", "Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects."""

    group: str
    """Empty: the core group."""
    version: str
    plural: str
    name: str
    """Such as ``Pod``."""
    namespaced: bool = True
    status: bool = False
    """Whether ``/status`` is a subresource that alone changes the status."""
    generations: bool = False
    """Whether the server counts the changes of the spec."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """As messages name it, such as ``inferenceservices.ome.io``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def full_name(self) -> str:
        """As messages about invalid objects name it, such as ``InferenceService.ome.io``."""
        return f"{self.name}.{self.group}" if self.group else self.name

    @property
    def custom(self) -> bool:
        return "." in self.group and not self.group.endswith(".k8s.io")

    def path(self, namespace: str = "") -> str:
        """Path of the collection."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return (
            f"{root}/namespaces/{namespace}/{self.plural}"
            if namespace
            else root + "/" + self.plural
        )

    def described(self) -> dict[str, Any]:
        """The entry in a list of the resources that a group has."""
        return {
            "name": self.plural,
            "singularName": self.name.lower(),
            "namespaced": self.namespaced,
            "kind": self.name,
            "verbs": [
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch",
            ],
        }


CRD = Kind(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
    status=True,
    generations=True,
)

BUILT_IN = (
    Kind("", "v1", "pods", "Pod", status=True),
    Kind("", "v1", "services", "Service", status=True),
    Kind("", "v1", "secrets", "Secret"),
    Kind("", "v1", "events", "Event"),
    Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", status=True),
    Kind("", "v1", "configmaps", "ConfigMap"),
    Kind("", "v1", "namespaces", "Namespace", namespaced=False, status=True),
    Kind("", "v1", "nodes", "Node", namespaced=False, status=True),
    Kind("apps", "v1", "deployments", "Deployment", status=True, generations=True),
    Kind("batch", "v1", "jobs", "Job", status=True, generations=True),
    Kind("coordination.k8s.io", "v1", "leases", "Lease"),
    CRD,
)
