"""The environment that servers and load generators start in, and what the kernel gives them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "LEASE_VARIABLE",
    "MASK",
    "KernelFacts",
    "clean_environment",
    "is_secret_name",
    "kernel_facts",
    "mask_secrets",
]

LEASE_VARIABLE = "AUTOTUNER_LEASE"
"""Marks every process of an attempt with the token of its lease."""

_DROPPED = frozenset(
    {
        # With a Ray working_dir this names our own folders, which would shadow the engine's.
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONBREAKPOINT",
        # Ray sets 1 for actors below two CPUs.
        "OMP_NUM_THREADS",
        "VIRTUAL_ENV",
        "__PYVENV_LAUNCHER__",
        # Of the attempt that we ourselves may be a process of.
        LEASE_VARIABLE,
    }
)
_LOOPBACK = ("127.0.0.1", "localhost")
_SECRET_NAME = re.compile(r"KEY|TOKEN(?!IZER)|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
MASK = "***"


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """What a process inherited; values other than 0 slow a server on a shared machine."""

    nice: int | None
    oom_score_adj: int | None


def clean_environment(
    base: Mapping[str, str] | None = None,
    *,
    add: Mapping[str, str] | None = None,
    unproxied: Sequence[str] = (),
) -> dict[str, str]:
    """The base environment (default: ours) without what Ray and Python put in, plus ``add``.

    Args:
        unproxied: Hosts that are talked to without a proxy, beside our own.
    """
    source = os.environ if base is None else base
    kept = {
        name: value
        for name, value in source.items()
        if name not in _DROPPED and not name.startswith("RAY_")
    }
    # setproctitle overwrites /proc/PID/environ, by which leaked processes are recognised.
    kept["SPT_NOENV"] = "1"
    kept["PYTHONUNBUFFERED"] = "1"
    # A proxy in the environment must not come between the load and the server.
    hosts = [host for host in kept.get("NO_PROXY", kept.get("no_proxy", "")).split(",") if host]
    kept["NO_PROXY"] = kept["no_proxy"] = ",".join(dict.fromkeys([*hosts, *_LOOPBACK, *unproxied]))
    kept.update(add or {})
    return kept


def kernel_facts(pid: int | None) -> KernelFacts:
    """Niceness and OOM score adjustment of a live process; None where it cannot be read."""
    if pid is None:
        return KernelFacts(None, None)
    try:
        return KernelFacts(
            nice=os.getpriority(os.PRIO_PROCESS, pid),
            oom_score_adj=int(Path(f"/proc/{pid}/oom_score_adj").read_text()),
        )
    except (OSError, ValueError):
        return KernelFacts(None, None)


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret, as far as its name tells."""
    return _SECRET_NAME.search(name) is not None


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """``text`` with every secret value replaced."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
