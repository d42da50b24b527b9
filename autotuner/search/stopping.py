"""When a search has found enough: `StopWhen.no_improvement`, the same for every strategy."""

from __future__ import annotations

from collections.abc import Sequence

from autotuner.search.findings import Point

__all__ = ["NoImprovement"]


class NoImprovement:
    """Counts the experiments since the best was bettered by an effect that matters.

    Experiments that failed, or were pruned, count; those that were lost do not. While nothing
    keeps the limits, coming nearer to them is an improvement.
    """

    def __init__(self, most: int | None, minimal_effect: float) -> None:
        """
        Args:
            most: So many experiments without an improvement are enough; None: never.
            minimal_effect: As a fraction of the best value.
        """
        self._most = most
        self._effect = minimal_effect
        self._shown: dict[str, tuple[Point, ...]] = {}
        self._best: list[Point] = []
        self._since = 0

    def tell(self, candidate: str, points: Sequence[Point]) -> None:
        """An experiment has ended, with what it showed; nothing: it does not count.

        Told again, it counts where it was first, with the new points.
        """
        now = tuple(points)
        if self._shown.get(candidate, ()) == now:
            return
        again = candidate in self._shown
        self._shown[candidate] = now
        if not again:
            self._count(now)
            return
        self._best, self._since = [], 0
        for shown in self._shown.values():
            self._count(shown)

    @property
    def reason(self) -> str | None:
        """Why the search may end, in a sentence; None: it may not, or not for this reason.

        An experiment that ends later may still better the best; then it may no longer.
        """
        if self._most is None or self._since < self._most:
            return None
        if all(point.feasible for point in self._best):
            what = f"has bettered the best by {100 * self._effect:g} %"
        else:
            what = "keeps the limits, or comes nearer to them than those before"
        count = f"the last {self._since} experiments" if self._since > 1 else "the last experiment"
        return f"none of {count} {what}"

    def _count(self, points: tuple[Point, ...]) -> None:
        if not points:
            return
        better = [point for point in points if self._improves(point)]
        self._since = 0 if better else self._since + 1
        for point in better:
            # Small steps add up: the best stays what it was until one is a step beyond it.
            self._best = [best for best in self._best if not _covers(point, best, 0.0)]
            self._best.append(point)

    def _improves(self, point: Point) -> bool:
        return not any(_covers(best, point, self._effect) for best in self._best)


def _covers(one: Point, other: Point, effect: float) -> bool:
    """Whether the other is no better than the one by more than the effect, in any value."""
    if one.feasible and other.feasible:
        pairs = zip(one.values, other.values, strict=True)
        return all(theirs <= ours + effect * abs(ours) for ours, theirs in pairs)
    if one.feasible or other.feasible:
        return one.feasible
    return other.violation >= one.violation * (1 - effect)
