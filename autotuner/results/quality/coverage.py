"""What the study did not measure, or not often enough for a verdict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from autotuner.results.confidence.verdict import VerdictKind
from autotuner.results.quality.finding import Finding, Severity
from autotuner.results.quality.inspected import Inspected
from autotuner.spec.experiment import Purpose

__all__ = ["evidence", "failed_share", "missing"]

_MUCH_FAILED = 0.20
_TOO_MANY = 4
"""Times the repeats that a study makes: more of them is no advice."""


def evidence(inspected: Inspected) -> Iterator[Finding]:
    """A verdict that takes more servers than the study allows."""
    verdict, judging = inspected.ranking.verdict, inspected.judging
    if verdict.kind is not VerdictKind.NOT_ENOUGH_EVIDENCE:
        return
    concerned = inspected.ordered(inspected.finalists)
    servers = max((inspected.entries[id_].servers for id_ in concerned), default=0)
    repeats = sum(row["purpose"] == Purpose.CONFIRM for row in inspected.ended)
    most = judging.most_repeats(len(inspected.study.experiments))
    if verdict.repeats_needed is None:
        needed = "how many more servers it takes cannot be told"
        wanted = 2 * max(judging.finalist_servers, servers)
        in_all = 2 * most if repeats >= most else most
    else:
        needed = f"about {verdict.repeats_needed} more fresh servers are needed in all"
        each = math.ceil(verdict.repeats_needed / max(1, len(concerned)))
        wanted = max(judging.finalist_servers + 1, servers + each)
        in_all = repeats + verdict.repeats_needed
    keys = [f"finalist_servers: {wanted}"] if verdict.budget_spent else []
    keys += [f"max_repeats: {in_all}"] if in_all > most else []
    go_on = "autotuner run FILE"
    remedy = f"{' and '.join(keys)}, then {go_on}" if keys else go_on
    if in_all > _TOO_MANY * most:
        remedy = "less noise: longer levels (workloads: stop), quieter nodes"
    yield Finding(
        "not_enough_evidence",
        Severity.WARNING,
        concerned,
        f"{len(concerned)} configurations cannot be told apart after up to {servers} servers "
        f"each; {needed}",
        "the one on top is there partly by chance",
        f"{remedy}; or a larger minimal_effect than {judging.minimal_effect:g}, where such "
        "differences do not matter",
    )


def missing(inspected: Inspected) -> Iterator[Finding]:
    """Experiments without a result."""
    pending = inspected.ranking.pending
    if pending:
        yield Finding(
            "not_measured",
            Severity.NOTE,
            inspected.ordered(entry.experiment_id for entry in pending),
            f"{len(pending)} of {len(inspected.ranking.entries)} experiments are not measured yet",
            "the best configuration may be among them",
            "wait, if the study runs; otherwise autotuner run FILE",
        )


def failed_share(inspected: Inspected) -> Iterator[Finding]:
    """A good part of the search space that failed."""
    failed = [row for row in inspected.ended if row["outcome"] == "failed"]
    ids = inspected.concerned(failed)
    total = len(inspected.ranking.entries)
    if not total or len(ids) <= _MUCH_FAILED * total:
        return
    kinds = Counter(str(row.get("failure_kind") or "unknown") for row in failed)
    counted = ", ".join(f"{kind} {n}" for kind, n in kinds.most_common())
    yield Finding(
        "many_failed",
        Severity.WARNING,
        ids,
        f"{len(ids)} of {total} experiments failed ({counted})",
        "the winner is the best of what works here; with the cause mended, another may be better",
        "mend what they share (see the evidence column), or an entry under exclude for what "
        "cannot work",
    )
