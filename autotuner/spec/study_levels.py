"""Which levels an objective looks at: ``at``, ``over`` and ``weights`` in a study file.

Nothing is averaged unless the file says how: a mean over concurrencies hides where a server
saturates, and a mean over workloads mixes different traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autotuner.spec.objective import Over, WeightedLevel
from autotuner.spec.source_lines import Loc
from autotuner.spec.study_judging_schema import LevelSection, ObjectiveSection, WeightSection
from autotuner.spec.study_problems import Problems, flow_text, unknown_name
from autotuner.spec.workload import Workload

__all__ = ["ChosenLevels", "read_levels"]


@dataclass(frozen=True, slots=True)
class ChosenLevels:
    """The part of an objective that says which levels count; the fields are its own."""

    workload: str | None = None
    concurrency: int | None = None
    over: Over | None = None
    weights: tuple[WeightedLevel, ...] = ()


def read_levels(
    section: ObjectiveSection,
    problems: Problems,
    workloads: Sequence[Workload],
    *,
    constrained: bool,
) -> ChosenLevels:
    """The levels that count, narrowed as far as the file determines them.

    Args:
        section: the file's ``objective``.
        problems: takes what is wrong.
        workloads: the study's workloads.
        constrained: whether there are limits: then the best level that meets them counts,
            unless the file says otherwise.
    """
    return _LevelReader(section, problems, workloads, constrained).chosen()


class _LevelReader:
    def __init__(
        self,
        section: ObjectiveSection,
        problems: Problems,
        workloads: Sequence[Workload],
        constrained: bool,
    ) -> None:
        self._section = section
        self._at = section.at or LevelSection()
        self._problems = problems
        self._workloads = {workload.name: workload for workload in workloads}
        self._constrained = constrained

    def chosen(self) -> ChosenLevels:
        over = Over(self._section.over) if self._section.over is not None else None
        if self._section.weights is not None:
            return ChosenLevels(over=Over.WEIGHTED, weights=self._weights(self._section.weights))
        if over is Over.SEED_MEAN:
            return self._seed_mean()
        if not self._is_workload(self._at.workload, ("objective", "at", "workload")):
            return ChosenLevels()
        candidates = [w for w in self._workloads.values() if self._at.workload in (None, w.name)]
        if self._at.concurrency is not None:
            candidates = [w for w in candidates if not self._is_found(w, ("at", "concurrency"))]
            return self._at_concurrency(self._at.concurrency, candidates)
        if len(candidates) > 1:
            self._refuse_a_mixture(over)
            return ChosenLevels(over=over)
        (workload,) = candidates
        if workload.find is not None:
            if over not in (None, Over.BEST):
                self._is_found(workload, ("over",))
            return ChosenLevels(workload.name, None, Over.BEST)
        if len(workload.concurrency) == 1:
            return ChosenLevels(workload.name, workload.concurrency[0], over)
        if over is None and self._constrained:
            over = Over.BEST
        if over is None:
            self._problems.add(("objective",), self._undetermined(workload), show=False)
        return ChosenLevels(workload.name, None, over)

    def _is_workload(self, name: str | None, loc: Loc) -> bool:
        if name is None or name in self._workloads:
            return True
        self._problems.add(loc, unknown_name(name, self._workloads, "workload"))
        return False

    def _is_found(self, workload: Workload, key: Loc) -> bool:
        """Whether there are no levels that a file could name, as the load is found."""
        if workload.find is None:
            return False
        fix = (
            f"the load of `{workload.name}` is found, and the best level counts; write `over: best`"
        )
        self._problems.add(("objective", *key), fix)
        return True

    def _seed_mean(self) -> ChosenLevels:
        for workload in self._workloads.values():
            if self._is_found(workload, ("over",)):
                break
        if self._section.at is not None:
            fix = "`over: seed_mean` is the mean over all levels of all workloads; remove `at`"
            self._problems.add(("objective", "at"), fix)
        return ChosenLevels(over=Over.SEED_MEAN)

    def _at_concurrency(self, concurrency: int, candidates: Sequence[Workload]) -> ChosenLevels:
        if self._section.over is not None:
            fix = "`over` chooses among levels and `at.concurrency` names one; remove one of them"
            self._problems.add(("objective", "over"), fix)
            return ChosenLevels()
        having = [w for w in candidates if concurrency in w.concurrency]
        if not candidates:
            return ChosenLevels()
        if not having:
            known = sorted({c for workload in candidates for c in workload.concurrency})
            fix = f"no level has this concurrency; there are {flow_text(known)}"
            self._problems.add(("objective", "at", "concurrency"), fix)
            return ChosenLevels()
        if len(candidates) > 1:
            line = self._with(at={"concurrency": concurrency, "workload": having[0].name})
            fix = (
                "there are several workloads, and their numbers must not be mixed; "
                f"name one: {line}"
            )
            self._problems.add(("objective", "at"), fix)
        return ChosenLevels(having[0].name, concurrency)

    def _refuse_a_mixture(self, over: Over | None) -> None:
        """Several workloads, none named: scenarios stay apart unless they are weighted."""
        names = ", ".join(self._workloads)
        first = next(iter(self._workloads.values()))
        word = (over or Over.BEST).value
        of_one = self._with(over=word, at={"workload": first.name})
        terms = [{"workload": name, "weight": 1} for name in self._workloads]
        weighted = f"or say what each is worth: `{self._with(weights=terms)}`"
        apart = f"the {len(self._workloads)} workloads ({names}) stay apart unless weighted"
        if over is not None:
            fix = f"{apart}; take the {word} level of one: `{of_one}`, {weighted}"
            self._problems.add(("objective", "over"), fix)
            return
        at = self._with(at={"concurrency": max(first.concurrency), "workload": first.name})
        fix = (
            f"{apart}, as a mean over them would mix different traffic; say which level counts: "
            f"`{at}`, or take the best of one workload: `{of_one}`, {weighted}"
        )
        self._problems.add(("objective",), fix, show=False)

    def _undetermined(self, workload: Workload) -> str:
        among: dict[str, object] = {"workload": workload.name} if len(self._workloads) > 1 else {}
        at = self._with(at={"concurrency": max(workload.concurrency), **among})
        over = self._with(over="best", **({"at": among} if among else {}))
        return (
            f"there are {len(workload.concurrency)} levels, and a mean over them would hide "
            f"where the server saturates; say which one counts: `{at}`, or take the best or the "
            f"worst: `{over}`. With `constraints`, the best level that meets them counts"
        )

    def _with(self, **changes: object) -> str:
        """The user's objective as one line of the file, with these keys instead of its own."""
        content = self._problems.source.data.get("objective")
        kept = {"name": content} if isinstance(content, str) else content
        kept = kept if isinstance(kept, dict) else {}
        rest = {k: v for k, v in kept.items() if k not in ("at", "over", "weights")}
        return f"objective: {flow_text({**rest, **changes})}"

    def _weights(self, items: Sequence[object]) -> tuple[WeightedLevel, ...]:
        for key in ("at", "over"):
            if getattr(self._section, key) is not None:
                fix = f"`weights` says which levels count; remove `{key}` or `weights`"
                self._problems.add(("objective", key), fix)
        found: dict[int, WeightedLevel] = {}
        for index, item in enumerate(items):
            loc: Loc = ("objective", "weights", index)
            term = self._weight(item, loc)
            if term is None:
                continue
            for place, other in found.items():
                if _overlap(term, other):
                    line = self._problems.source.line(("objective", "weights", place))
                    fix = (
                        f"item {place + 1} on line {line} weights the same level; "
                        "name each level or workload once"
                    )
                    self._problems.add(loc, fix)
                    break
            found[index] = term
        return tuple(found.values())

    def _weight(self, item: object, loc: Loc) -> WeightedLevel | None:
        section = self._problems.validated(WeightSection, item, loc)
        if section is None or not self._is_workload(section.workload, (*loc, "workload")):
            return None
        if section.workload is None and len(self._workloads) > 1:
            names = ", ".join(self._workloads)
            self._problems.add(loc, f"say of which workload, such as `workload: {names}`")
            return None
        name = section.workload or next(iter(self._workloads))
        if section.concurrency is not None and self._workloads[name].find is not None:
            fix = (
                f"the load of `{name}` is found; leave `concurrency` out, and its best level counts"
            )
            self._problems.add((*loc, "concurrency"), fix)
            return None
        known = self._workloads[name].concurrency
        if section.concurrency is not None and section.concurrency not in known:
            fix = f"`{name}` has no level of this concurrency; there are {flow_text(known)}"
            self._problems.add((*loc, "concurrency"), fix)
            return None
        return WeightedLevel(section.weight, name, section.concurrency)


def _overlap(one: WeightedLevel, other: WeightedLevel) -> bool:
    return one.workload == other.workload and (
        one.concurrency == other.concurrency or None in (one.concurrency, other.concurrency)
    )
