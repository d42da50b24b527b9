"""What to mend where everything fails alike, in words."""

from __future__ import annotations

from autotuner.spec.experiment import Failed, FailureKind

__all__ = ["advice"]


def advice(failed: Failed, count: int) -> str:
    """Why the study stops, after so many experiments that failed like this one."""
    where = failed.phase.value.replace("_", " ")
    return (
        f"the last {count} experiments all failed in the same way, {failed.kind.value} at "
        f"{where}: {failed.message.rstrip('.')}. {_FIXES.get(failed.kind, _LOOK)}; then the same "
        "command goes on. (give_up_after: 0 in the study file goes on regardless)"
    )


_LOOK = "Look at the server's log under logs/ and mend what all experiments share"
_FIXES = {
    FailureKind.LAUNCH_FAILED: (
        "Install what is missing on the nodes, or correct `executable`; of a container, see to its "
        "image, the daemon and what the account may do (`autotuner doctor` with the study file "
        "looks at all of them)"
    ),
    FailureKind.UNSCHEDULABLE: (
        "Free GPUs in the Kubernetes cluster, correct what the study asks of its nodes "
        "(gpu_resource, requests, node_selector, tolerations, affinity), or give Ray no more of "
        "the quota than GPUs that are free"
    ),
    FailureKind.MODEL_NOT_FOUND: "Correct `model`, or make it readable on every node",
    FailureKind.OUT_OF_MEMORY_AT_LOAD: (
        "Give it more GPUs (a larger parallel size), or a shorter context in engine.flags"
    ),
    FailureKind.CONFIG_REJECTED: "Correct engine.flags, or the names and values of `parameters`",
    FailureKind.LAUNCH_TIMEOUT: "Raise timeouts.start_s, or look at the log for what it waits for",
    FailureKind.BENCH_FAILED: "Look at the load generator's log under logs/",
    FailureKind.REQUESTS_FAILED: "Correct the workload: the server refuses its requests",
    FailureKind.DISK_FULL: "Make room on the nodes' disks",
    FailureKind.INTERNAL_ERROR: "This is a bug in autotuner; the evidence column has its traceback",
    FailureKind.NODE_LOST: "See why the nodes leave: their memory, power and network",
}
