"""Whether others took CPU from some configurations that the ones they are held against had.

What counts is a difference: a load that all had alike slows all, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from autotuner.results.limits import number
from autotuner.results.quality.finding import Finding, Severity
from autotuner.results.quality.inspected import Inspected, Row, place
from autotuner.spec.objective import Direction

__all__ = ["foreign_load"]

_FEWEST_CPUS = 0.25
"""Differences below are the node's own daemons, and the ticks in which the kernel counts. Of two
CPUs it is an eighth, which a server on CPUs loses at least: no less can pass there for nothing."""
_SMALLEST_SHARE = 0.05
"""Of the node's CPUs: of many, a few more or less are free all the same."""
_SHORT_OF_CPUS = 0.5
"""A server on GPUs needs its CPUs at once, not many of them. Beyond half of them in use, threads
share a core with another one's hyperthread, and wait for their turn soon after."""
_LOSS_PER_SHARE = 2.0
"""Who loses a share of the CPUs loses as much of the throughput, or more, where the other threads
wait for the one that was put off; twice as much explains all but the oddest losses."""
_REMEDY = (
    "see what else ran on these nodes, keep it away, and measure again in a new output folder; "
    "other attempts of the study on the same node count as others, too"
)


@dataclass(frozen=True, slots=True)
class _Load:
    """CPUs that others used during one level of one experiment."""

    worst: Row
    """That of its measurements during which it was most."""
    mean: float
    """Over the time of all of them, as the numbers are pooled."""
    on_gpus: bool

    @property
    def most(self) -> float:
        return number(self.worst, "foreign_cpus") or 0.0

    @property
    def cpus(self) -> float:
        return max(1.0, number(self.worst, "node_cpus") or 1.0)

    def exceeds(self, usual: float) -> bool:
        """Whether it was once so much more than usual that it matters here."""
        if self.most - usual < max(_FEWEST_CPUS, _SMALLEST_SHARE * self.cpus):
            return False
        in_use = self.most + (number(self.worst, "own_cpus") or 0.0)
        return not self.on_gpus or in_use > _SHORT_OF_CPUS * self.cpus


@dataclass(frozen=True, slots=True)
class _Excess:
    load: _Load
    usual: float
    """CPUs that others used during the same level of what it is held against."""
    whose: str

    @property
    def size(self) -> float:
        return self.load.most - self.usual

    def in_words(self, inspected: Inspected) -> str:
        worst = self.load.worst
        return (
            f"others used {self.load.most:.1f} of the node's {self.load.cpus:.0f} CPUs at "
            f"{place(worst)} of {inspected.label(worst['experiment_id'])}, and {self.usual:.1f} "
            f"{self.whose}"
        )


def foreign_load(inspected: Inspected) -> Iterator[Finding]:
    """Levels during which others used much more CPU than during the same level of the leader.

    Without a leader, or where it is not known of it, than usual. Only of levels that the objective
    looks at; a simulated server waits instead of computing, and nobody slows it down.
    """
    disturbed: list[_Excess] = []
    leaders: list[_Excess] = []
    for at_level in _loads(inspected).values():
        others = dict(at_level)
        own = others.pop(inspected.leader or "", None)
        if not others:
            continue
        usual = _reference(others, own)
        disturbed += [_Excess(load, *usual) for load in others.values() if load.exceeds(usual[0])]
        typical = median(load.mean for load in others.values())
        if own is not None and own.exceeds(typical):
            leaders.append(_Excess(own, typical, "at the median of the others"))
    if disturbed:
        yield _of_others(inspected, disturbed)
    if leaders:
        yield _of_the_leader(inspected, leaders)


def _of_others(inspected: Inspected, found: Sequence[_Excess]) -> Finding:
    """They had less CPU than the leader: it may be better by nothing else."""
    ids = inspected.concerned(excess.load.worst for excess in found)
    serious = any(_may_explain(inspected, excess) for excess in found)
    worst = max(found, key=lambda excess: excess.size)
    return Finding(
        "foreign_load",
        Severity.SERIOUS if serious else Severity.WARNING,
        ids,
        f"{worst.in_words(inspected)}; {len(ids)} experiments had so much more taken from them",
        "they may be better than they measured, and the leader may lead by nothing but a quieter "
        "node"
        if serious
        else "they measured worse than they are, though by less than they are behind the leader",
        _REMEDY,
    )


def _of_the_leader(inspected: Inspected, found: Sequence[_Excess]) -> Finding:
    """It leads all the same."""
    worst = max(found, key=lambda excess: excess.size)
    return Finding(
        "foreign_load",
        Severity.WARNING,
        inspected.concerned(excess.load.worst for excess in found),
        f"{worst.in_words(inspected)}, which the leader is ahead of",
        "the leader is better than it measured: its lead is larger than it seems, and what ties "
        "with it may not",
        _REMEDY,
    )


def _may_explain(inspected: Inspected, excess: _Excess) -> bool:
    """Whether the CPUs taken from it may be why it is behind the leader, or not ranked."""
    own = inspected.entries.get(str(excess.load.worst["experiment_id"]))
    leader = inspected.entries.get(inspected.leader or "")
    if own is None or leader is None:
        return False
    value, leading = own.score.effective, leader.score.effective
    if own.rank is None or value is None or leading is None or min(value, leading) <= 0:
        return True  # a limit that it missed, it may keep undisturbed
    minimised = inspected.judging.objective.direction is Direction.MINIMIZE
    loss = 1 - (leading / value if minimised else value / leading)
    share = max(0.0, excess.load.mean - excess.usual) / excess.load.cpus
    return loss <= _LOSS_PER_SHARE * share


def _reference(others: Mapping[str, _Load], leader: _Load | None) -> tuple[float, str]:
    """What the others' loads are held against, and whose it is."""
    if leader is not None:
        return leader.mean, "at the same level of the leader"
    return median(load.mean for load in others.values()), "at the median of all"


def _loads(inspected: Inspected) -> Mapping[str, Mapping[str, _Load]]:
    """Level in words -> experiment id -> its load there, as far as it is known."""
    gpus = {row["attempt_id"]: number(row, "gpus") for row in inspected.ended}
    rows: dict[str, dict[str, list[Row]]] = {}
    for row in filter(inspected.in_scope, inspected.usable):
        if number(row, "foreign_cpus") is not None and not row.get("simulated"):
            at_level = rows.setdefault(place(row), {})
            at_level.setdefault(str(row["experiment_id"]), []).append(row)
    return {
        level: {
            id_: _Load(
                max(measured, key=lambda row: number(row, "foreign_cpus") or 0.0),
                _mean(measured),
                bool(gpus.get(measured[0]["attempt_id"])),
            )
            for id_, measured in at_level.items()
        }
        for level, at_level in rows.items()
    }


def _mean(rows: Sequence[Row]) -> float:
    seconds = [number(row, "duration_s") or 0.0 for row in rows]
    weights = seconds if sum(seconds) > 0 else [1.0] * len(rows)
    foreign = [number(row, "foreign_cpus") or 0.0 for row in rows]
    return sum(w * f for w, f in zip(weights, foreign, strict=True)) / sum(weights)
