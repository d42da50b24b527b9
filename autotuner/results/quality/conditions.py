"""Under what circumstances the numbers came about, and whether they were the same for all."""

from __future__ import annotations

from collections.abc import Iterator

from autotuner.results.comparability import circumstances_of
from autotuner.results.limits import number
from autotuner.results.quality.finding import Finding, Severity
from autotuner.results.quality.inspected import Inspected, Row
from autotuner.results.score import EntryStatus
from autotuner.spec.judging import Condition

__all__ = ["compared_across", "not_compared", "processes", "simulated", "unknown_version"]


def not_compared(inspected: Inspected) -> Iterator[Finding]:
    """Experiments that the ranking left out, since they ran under other circumstances."""
    apart = [e for e in inspected.ranking.entries if e.status is EntryStatus.NOT_COMPARABLE]
    if apart:
        lifted = ", ".join(condition.value for condition in Condition)
        yield Finding(
            "mixed_conditions",
            Severity.WARNING,
            inspected.ordered(entry.experiment_id for entry in apart),
            f"{len(apart)} experiments were measured under other circumstances than the rest and "
            f"are not ranked, first {inspected.label(apart[0].experiment_id)}: "
            f"{apart[0].score.reason}",
            "the best configuration may be among them",
            "measure them again under the same circumstances (a new output folder), or "
            f"compare_across: [...] of {lifted}, where the difference does not matter",
        )


def compared_across(inspected: Inspected) -> Iterator[Finding]:
    """Circumstances that differ and are overlooked, by the study's wish or by default."""
    chosen = inspected.judging.compare_across
    compared = {attempt for attempts in inspected.compared.values() for attempt in attempts}
    for condition in sorted([Condition.NEIGHBOURS] if chosen is None else chosen):
        seen: dict[str, list[Row]] = {}
        for row in inspected.ended:
            value = circumstances_of(row, neighbours_of_gpus=True)[condition]
            if row["outcome"] == "completed" and row["attempt_id"] in compared and value:
                seen.setdefault(value, []).append(row)
        if len(seen) < 2:
            continue
        usual = max(seen, key=lambda value: len(seen[value]))
        others = [row for value, rows in seen.items() if value != usual for row in rows]
        counts = ", ".join(f"{value}: {len(rows)}" for value, rows in sorted(seen.items()))
        yield Finding(
            "mixed_conditions",
            Severity.NOTE if chosen is None else Severity.WARNING,
            inspected.concerned(others),
            f"attempts with different {condition.value.replace('_', ' ')} are compared ({counts})",
            "differences between configurations may be differences between circumstances",
            "compare_across: [], which compares none of them, or measure all alike"
            if chosen is None
            else f"leave {condition.value} out of compare_across, or measure all alike",
        )


def processes(inspected: Inspected) -> Iterator[Finding]:
    """Servers that did not get the CPUs that they need."""
    niced = [row for row in inspected.ended if number(row, "nice")]
    if niced:
        yield Finding(
            "nice",
            Severity.WARNING,
            inspected.concerned(niced),
            f"{len(niced)} servers ran at nice {_values(niced, 'nice')}",
            "on a busy node they were served last, and measured slower than they are",
            "RAY_worker_niceness=0 before `ray start`, from a shell of niceness 0",
        )
    shared = [row for row in inspected.ended if _shared_cpus(row)]
    if shared:
        common = ",".join(map(str, sorted(_shared_cpus(shared[0]))))
        yield Finding(
            "cpus_shared",
            Severity.WARNING,
            inspected.concerned(shared),
            f"server and load generator of {len(shared)} attempts were pinned to the same CPUs "
            f"({common})",
            "each slowed the other: part of the latency is that of the load generator",
            "resources: cpus: {server: ..., load: ...} with no CPU in both",
        )
    odd = [row for row in inspected.ended if _is_odd_thread_count(row)]
    if odd:
        yield Finding(
            "omp_threads",
            Severity.NOTE,
            inspected.concerned(odd),
            f"OMP_NUM_THREADS was {_values(odd, 'omp_num_threads')} for {len(odd)} servers on CPUs "
            f"{odd[0].get('cpus_server')}",
            "a server on CPUs computes with more threads than it has CPUs, or leaves some idle",
            f"engine: environment: {{OMP_NUM_THREADS: {len(_cpus(odd[0].get('cpus_server')))}}}",
        )


def simulated(inspected: Inspected) -> Iterator[Finding]:
    """Numbers of the simulated engine."""
    rows = [row for row in inspected.levels if row.get("simulated")]
    if not rows:
        return
    mixed = len(rows) < len(inspected.levels)
    yield Finding(
        "simulated",
        Severity.SERIOUS if mixed else Severity.NOTE,
        inspected.concerned(rows),
        f"{len(rows)} of {len(inspected.levels)} levels come from a simulated server",
        "simulated and real servers are ranked against each other"
        if mixed
        else "the numbers say nothing about a real server",
        "engine: name: vllm, or another real one",
    )


def unknown_version(inspected: Inspected) -> Iterator[Finding]:
    """Engines that do not tell their version."""
    rows = [
        row
        for row in inspected.ended
        if row["outcome"] == "completed"
        and not row.get("engine_version")
        and not row.get("simulated")
    ]
    if rows:
        yield Finding(
            "engine_version_unknown",
            Severity.NOTE,
            inspected.concerned(rows),
            f"the engine's version is not known for {len(rows)} attempts",
            "whether all ran the same version cannot be told, nor after an upgrade which did",
            "engine: executable: the interpreter that the engine is installed in, so that it can "
            "be asked",
        )


def _values(rows: list[Row], column: str) -> str:
    return ", ".join(sorted({str(row[column]) for row in rows}))


def _shared_cpus(row: Row) -> frozenset[int]:
    return _cpus(row.get("cpus_server")) & _cpus(row.get("cpus_load"))


def _cpus(listed: object) -> frozenset[int]:
    """CPU numbers of the kernel's list form, e.g. ``0-3,8``; none for anything else."""
    found: set[int] = set()
    for part in str(listed or "").split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _is_odd_thread_count(row: Row) -> bool:
    """Whether a server on CPUs alone has more threads than CPUs, or one for several."""
    cpus, said = len(_cpus(row.get("cpus_server"))), str(row.get("omp_num_threads") or "")
    if not cpus or number(row, "gpus") or not said:
        return False
    threads = int(said) if said.isdecimal() else 0
    return threads > cpus or (threads <= 1 < cpus)
