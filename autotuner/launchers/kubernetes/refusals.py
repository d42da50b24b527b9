"""What it means that the API refuses a request: one sentence for the user, with the way out."""

from __future__ import annotations

from autotuner.kubernetes_api.faults import (
    DeniedError,
    ForbiddenError,
    InvalidError,
    KubernetesError,
    NotThereError,
    QuotaError,
)
from autotuner.kubernetes_api.kinds import Kind
from autotuner.launchers.base import LaunchFault
from autotuner.spec.experiment import FailureKind

__all__ = ["fault_of_refusal"]

_ROLE = "cluster/ome/rbac.yaml"


def fault_of_refusal(error: KubernetesError, verb: str, kind: Kind, namespace: str) -> LaunchFault:
    """Why a request could not be carried out.

    Args:
        verb: As roles spell it, such as ``create``.
        kind: Of the object that it was about.
    """
    if isinstance(error, QuotaError):
        return LaunchFault(
            FailureKind.UNSCHEDULABLE,
            f"the quota of namespace {namespace} leaves no room for the {kind.name}: {error}",
            str(error),
        )
    return LaunchFault(
        FailureKind.LAUNCH_FAILED, _sentence(error, verb, kind, namespace), str(error)
    )


def _sentence(error: KubernetesError, verb: str, kind: Kind, namespace: str) -> str:
    what = f"{verb} {kind.resource} in namespace {namespace}"
    if isinstance(error, ForbiddenError):
        return (
            f"the Kubernetes API does not let us {what}; have the role of {_ROLE} bound to our "
            f"account ({error})"
        )
    if isinstance(error, DeniedError):
        return f"the cluster's own rules refuse the {kind.name}: {error}"
    if isinstance(error, NotThereError):
        if "namespace" in str(error):
            return f"there is no namespace {namespace}: create it, or set `namespace` ({error})"
        if kind.group == "ome.io":
            return f"the cluster knows no {kind.name}: install OME and its definitions ({error})"
    if isinstance(error, InvalidError):
        return f"the Kubernetes API does not take the {kind.name}: {error}"
    return f"the Kubernetes API cannot {what}: {error}"
