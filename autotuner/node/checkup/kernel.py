"""Limits that the kernel puts on the processes of this node."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

from autotuner.node.checkup.finding import CheckupOrder, Finding, failure, good, warning

__all__ = [
    "core_dumps",
    "judge_core_dumps",
    "judge_locked_memory",
    "judge_open_files",
    "judge_ports",
    "judge_processes",
    "locked_memory",
    "open_files",
    "ports",
    "processes",
]

_FILES_WANTED = 65_535
"""What vLLM and SGLang raise their soft limit to, where the hard limit lets them."""
_FILES_LEAST = 4096
_PROCESSES_WANTED = 16_384
_PROCESSES_LEAST = 2048
_PORTS_WANTED = 16_384
_PORTS_LEAST = 2048
_RAY_PORTS = range(10_002, 20_000)
"""Defaults of ``ray start --min-worker-port`` and ``--max-worker-port``."""
_PIDS_MAX = Path("/sys/fs/cgroup/pids.max")
_INFINIBAND = Path("/sys/class/infiniband")
_UNLIMITED = resource.RLIM_INFINITY


def open_files(order: CheckupOrder) -> Iterator[Finding]:
    del order
    yield judge_open_files(*resource.getrlimit(resource.RLIMIT_NOFILE))


def judge_open_files(soft: int, hard: int) -> Finding:
    check, wanted = "open files", f"soft limit {_FILES_WANTED}"
    read = f"soft {_number(soft)}, hard {_number(hard)}"
    if _at_least(soft, _FILES_WANTED):
        return good(check, read, wanted)
    fix = f"Run ulimit -n {_FILES_WANTED} before ray start."
    if not _at_least(hard, _FILES_WANTED):
        fix = (
            "Raise the hard limit: docker run --ulimit nofile=65535:65535, LimitNOFILE= of the "
            "service, or nofile in /etc/security/limits.conf."
        )
    # A low soft limit alone is raised by all but custom engines and the closed loop.
    judged = warning if _at_least(hard, _FILES_LEAST) else failure
    return judged(check, read, wanted, fix)


def processes(order: CheckupOrder) -> Iterator[Finding]:
    del order
    limit, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    yield judge_processes(limit, _pids_max())


def judge_processes(per_user: int, per_container: int) -> Finding:
    """Both limits count threads."""
    check, wanted = "processes and threads", f"{_PROCESSES_WANTED}"
    read = f"per user {_number(per_user)}, per container {_number(per_container)}"
    limits = [limit for limit in (per_user, per_container) if limit != _UNLIMITED]
    least = min(limits, default=_PROCESSES_WANTED)
    if least >= _PROCESSES_WANTED:
        return good(check, read, wanted)
    fix = (
        f"Run ulimit -u {_PROCESSES_WANTED} before ray start, or raise the container's pids limit."
    )
    return (warning if least >= _PROCESSES_LEAST else failure)(check, read, wanted, fix)


def locked_memory(order: CheckupOrder) -> Iterator[Finding]:
    del order
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    yield judge_locked_memory(limit, infiniband=_INFINIBAND.is_dir() and any(_INFINIBAND.iterdir()))


def judge_locked_memory(limit_bytes: int, *, infiniband: bool) -> Finding:
    check = "locked memory"
    read = _number(limit_bytes) if limit_bytes == _UNLIMITED else f"{limit_bytes // 1024} KiB"
    if not infiniband:
        return good(check, f"{read}, no InfiniBand")
    if limit_bytes == _UNLIMITED:
        return good(check, read, "unlimited")
    fix = "Run ulimit -l unlimited before ray start (docker run --ulimit memlock=-1)."
    return warning(check, read, "unlimited, as there is InfiniBand", fix)


def core_dumps(order: CheckupOrder) -> Iterator[Finding]:
    del order
    limit, _ = resource.getrlimit(resource.RLIMIT_CORE)
    yield judge_core_dumps(limit, Path("/proc/sys/kernel/core_pattern").read_text().strip())


def judge_core_dumps(limit_bytes: int, pattern: str) -> Finding:
    """``pattern``: where the kernel writes them; to a program that has limits of its own, with |"""
    check, wanted = "core dumps", "none, or taken by a program"
    if pattern.startswith("|"):
        return good(check, f"taken by {pattern[1:].split()[0]}", wanted)
    if limit_bytes == 0:
        return good(check, "none", wanted)
    read = (
        f"up to {_number(limit_bytes)}{'' if limit_bytes == _UNLIMITED else ' bytes'}, to {pattern}"
    )
    return warning(check, read, wanted, "Run ulimit -c 0 before ray start.")


def ports(order: CheckupOrder) -> Iterator[Finding]:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    yield judge_ports(low, high, in_ray=order.in_ray)


def judge_ports(low: int, high: int, *, in_ray: bool) -> Finding:
    check = "ephemeral ports"
    read = f"{low}-{high}"
    wanted = f"{_PORTS_WANTED}, none of Ray's {_RAY_PORTS.start}-{_RAY_PORTS.stop - 1}"
    count = high - low + 1
    fix = "Set net.ipv4.ip_local_port_range to 32768 60999 with sysctl."
    if count < _PORTS_LEAST:
        return failure(check, read, wanted, fix)
    if count < _PORTS_WANTED:
        return warning(check, read, wanted, fix)
    # A Ray that autotuner starts itself takes its ports from the kernel as well.
    if in_ray and low < _RAY_PORTS.stop and high >= _RAY_PORTS.start:
        fix = "Give ray start a --min-worker-port and --max-worker-port outside, or " + (
            fix[0].lower() + fix[1:]
        )
        return warning(check, read, wanted, fix)
    return good(check, read, wanted)


def _pids_max() -> int:
    """Of this container; unlimited also where it cannot be read."""
    try:
        text = _PIDS_MAX.read_text().strip()
    except OSError:
        return _UNLIMITED
    return int(text) if text.isdigit() else _UNLIMITED


def _at_least(limit: int, wanted: int) -> bool:
    return limit == _UNLIMITED or limit >= wanted


def _number(limit: int) -> str:
    return "unlimited" if limit == _UNLIMITED else str(limit)
