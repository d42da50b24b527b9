"""Each refusal of the API is one sentence with the way out."""

from __future__ import annotations

import pytest

from autotuner.kubernetes_api.faults import (
    DeniedError,
    ForbiddenError,
    InvalidError,
    NotThereError,
    QuotaError,
    UnreachableError,
)
from autotuner.kubernetes_api.kinds import INFERENCE_SERVICE, POD
from autotuner.launchers.kubernetes.refusals import fault_of_refusal
from autotuner.spec.experiment import FailureKind


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (ForbiddenError("words"), POD, "create pods in namespace tuning; have the role of"),
        (DeniedError("words"), POD, "the cluster's own rules refuse the Pod: words"),
        (InvalidError("words"), POD, "does not take the Pod: words"),
        (UnreachableError("words"), POD, "words"),
        (NotThereError('namespaces "tuning" not found'), POD, "there is no namespace tuning"),
        (NotThereError("404 page not found"), INFERENCE_SERVICE, "install OME"),
    ],
)
def test_a_server_that_cannot_be_made_says_why(error, kind, said):
    fault = fault_of_refusal(error, "create", kind, "tuning")
    assert fault.kind is FailureKind.LAUNCH_FAILED
    assert said in fault.message
    assert fault.evidence == str(error)


def test_a_quota_without_room_is_no_fault_of_the_configuration():
    fault = fault_of_refusal(QuotaError("exceeded quota: gpus"), "create", POD, "tuning")
    assert fault.kind is FailureKind.UNSCHEDULABLE
    assert "exceeded quota: gpus" in fault.message
