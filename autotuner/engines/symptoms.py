"""Reads the log of a dead server for the reason of its death. Tables of patterns, no guessing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from autotuner.spec.experiment import FailureKind

__all__ = [
    "CRASHES",
    "DISKS",
    "DISK_FULL",
    "MEMORY",
    "MODEL_FILES",
    "REFUSED",
    "START",
    "Symptom",
    "read_log",
]

_EVIDENCE_CHARACTERS = 600
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

_ONLY_AT_START = frozenset(
    {FailureKind.CONFIG_REJECTED, FailureKind.MODEL_NOT_FOUND, FailureKind.LAUNCH_FAILED}
    | {FailureKind.PORT_TAKEN}
)


@dataclass(frozen=True, slots=True)
class Symptom:
    """A pattern that one line of a log can match, and what it means."""

    pattern: re.Pattern[str]
    kind: FailureKind
    """Out-of-memory symptoms say AT_LOAD; a server that was ready turns them to UNDER_LOAD."""
    message: str
    lines_after: int = 0
    """Lines after the matching one that belong to the evidence."""

    @classmethod
    def of(cls, pattern: str, kind: FailureKind, message: str, lines_after: int = 0) -> Symptom:
        return cls(re.compile(pattern, re.IGNORECASE), kind, message, lines_after)


def read_log(
    log: str, symptoms: Iterable[Symptom], *, ready: bool
) -> tuple[FailureKind, str, str] | None:
    """Kind, message and evidence of the first symptom in the table that the log shows.

    The table's order decides, not the log's: a program often prints the cause first and its
    consequences after. Of the lines that match one symptom, the last is the evidence.

    What can only go wrong at start is passed over for a server that was ``ready``, whose log
    may hold the like for a request that it refused.
    """
    lines = [_COLOUR.sub("", line).rstrip() for line in log.splitlines()]
    for symptom in symptoms:
        if ready and symptom.kind in _ONLY_AT_START:
            continue
        for number in range(len(lines) - 1, -1, -1):
            if symptom.pattern.search(lines[number]):
                evidence = "\n".join(lines[number : number + 1 + symptom.lines_after])
                return _kind(symptom.kind, ready), symptom.message, _clip(evidence.strip())
    return None


def _kind(kind: FailureKind, ready: bool) -> FailureKind:
    if ready and kind is FailureKind.OUT_OF_MEMORY_AT_LOAD:
        return FailureKind.OUT_OF_MEMORY_UNDER_LOAD
    return kind


def _clip(text: str) -> str:
    if len(text) <= _EVIDENCE_CHARACTERS:
        return text
    return text[:_EVIDENCE_CHARACTERS].rstrip() + " ..."


_REJECTED = FailureKind.CONFIG_REJECTED
_NO_MEMORY = FailureKind.OUT_OF_MEMORY_AT_LOAD
_NO_MODEL = FailureKind.MODEL_NOT_FOUND
_CRASHED = FailureKind.SERVER_CRASHED

START = (
    Symptom.of(
        r"error: unrecognized arguments:",
        _REJECTED,
        "The engine does not know one of the arguments.",
    ),
    Symptom.of(
        r"error: argument .*(invalid choice|invalid \S+ value|invalid literal)",
        _REJECTED,
        "The engine does not take the value of one of the arguments.",
    ),
    Symptom.of(
        r"^(vllm|sglang|[\w-]+\.py)\b[^:]*: error: ",
        _REJECTED,
        "The engine refused its command line.",
    ),
    Symptom.of(
        r"no module named '?(sglang|vllm|autotuner)\b",
        FailureKind.LAUNCH_FAILED,
        "The engine is not installed for the interpreter that was to run it.",
    ),
    Symptom.of(
        # The second is SGLang's, of the ports that it takes beside its own.
        r"address already in use|\berrno:? 98\b|\w+ at \d+ is not available in \d+ seconds",
        FailureKind.PORT_TAKEN,
        "Another process took the port between its choice and its use.",
    ),
)
"""What any engine can say of its command line and its port."""

MODEL_FILES = (
    Symptom.of(
        r"is not a local folder and is not a valid model identifier",
        _NO_MODEL,
        "The model is neither a folder on the node nor a model of the hub.",
    ),
    Symptom.of(
        r"HFValidationError: .*Repo id must|Invalid repository ID or local directory",
        _NO_MODEL,
        "The model's path is no model folder on the node.",
    ),
    Symptom.of(
        r"Repository Not Found|RepositoryNotFoundError|GatedRepoError|is a gated repo",
        _NO_MODEL,
        "The hub has no such model, or does not give it to this user.",
    ),
    Symptom.of(
        r"LocalEntryNotFoundError|OfflineModeIsEnabled|couldn't connect to .*huggingface",
        _NO_MODEL,
        "The model is not in the node's cache, and the hub cannot be reached.",
    ),
    Symptom.of(
        r"does not appear to have a file named|can't load the configuration"
        r"|can't load (the )?tokenizer|cannot find any model weights"
        r"|unrecognized model in|no such file or directory: .*(config|tokenizer\w*)\.json",
        _NO_MODEL,
        "The model's folder lacks a file that the engine needs.",
    ),
)
"""What the Hugging Face libraries say when a model cannot be read."""

MEMORY = (
    Symptom.of(
        r"(CUDA|HIP|XPU|NPU|MPS)( error:)? out of memory|OutOfMemoryError"
        r"|CUBLAS_STATUS_ALLOC_FAILED|cuda failure '?out of memory|cudaErrorMemoryAllocation",
        _NO_MEMORY,
        "The device ran out of memory.",
    ),
    Symptom.of(
        r"(failed to allocate|when allocating) memory for batch_\w+",
        _NO_MEMORY,
        "The attention kernels' workspace (FlashInfer) cannot hold a batch of this size.",
    ),
    Symptom.of(
        r"DefaultCPUAllocator: (can't|not enough)|std::bad_alloc|cannot allocate memory"
        r"|\bMemoryError\b",
        _NO_MEMORY,
        "The host ran out of memory.",
    ),
)
"""What the device and the host say when they have no memory left."""

DISK_FULL = Symptom.of(
    r"no space left on device|\b(errno:?|os error) 28\b|disk quota exceeded",
    FailureKind.DISK_FULL,
    "A disk of the node is full.",
)
"""What any program says of a full disk."""

DISKS = (
    Symptom.of(
        r"(shared memory segment|/dev/shm).*no space left on device",
        FailureKind.DISK_FULL,
        "The node's shared memory (/dev/shm) is full, or too small for the engine's processes.",
    ),
    DISK_FULL,
)
"""What is said of a full disk, the cause before its consequences."""

CRASHES = (
    Symptom.of(
        r"NCCL error|ncclUnhandledCudaError|ncclSystemError|ncclInternalError|ncclRemoteError"
        r"|NCCL.*(timeout|timed out)|DistBackendError",
        _CRASHED,
        "The GPUs could not talk to each other (NCCL).",
    ),
    Symptom.of(
        r"CUDA error: |CUDA driver version is insufficient|No CUDA GPUs are available"
        r"|device-side assert|\bXid\b",
        _CRASHED,
        "The device reported an error.",
    ),
    Symptom.of(
        r"segmentation fault|SIGSEGV|core dumped|signal 11\b",
        _CRASHED,
        "The server crashed with a segmentation fault.",
    ),
)
"""What stands in a log when a server dies for a reason outside its configuration."""

REFUSED = Symptom.of(
    r"\b(ValueError|NotImplementedError): \S",
    _REJECTED,
    "The engine refused the configuration.",
)
"""An exception that a second start would raise again; the last resort of a server's start."""
