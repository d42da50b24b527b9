"""Which experiment is exported, and what must be said about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotuner.engines.registry import load_engine
from autotuner.errors import UserError
from autotuner.export.metrics import Metric, metrics_of
from autotuner.export.words import masked_parameters
from autotuner.results.confidence.verdict import VerdictKind
from autotuner.results.load import StudyResults
from autotuner.results.score import EntryStatus, Ranking, RankingEntry
from autotuner.results.study_record import ExpectedExperiment, StudyRecord
from autotuner.supervision.environment import mask_secrets

__all__ = ["Selection", "select"]


@dataclass(frozen=True, slots=True)
class Selection:
    """One experiment of a study with its place in the ranking."""

    study: StudyRecord
    experiment: ExpectedExperiment
    entry: RankingEntry
    ranking: Ranking
    rows: Sequence[Mapping[str, object]]
    """Experiment rows of the attempts that its numbers come from."""
    metrics: Mapping[str, Metric]
    """Column -> number at the level that the score comes from."""

    @property
    def is_winner(self) -> bool:
        """Whether the study's verdict is that this one wins."""
        verdict = self.ranking.verdict
        return verdict.kind is VerdictKind.WINNER and verdict.leader == self.experiment.id

    @property
    def verdict_sentence(self) -> str:
        labels = {entry.experiment_id: entry.label for entry in self.ranking.entries}
        return self.without_secrets(self.ranking.verdict.sentence(labels))

    @property
    def label(self) -> str:
        return self.without_secrets(self.experiment.label)

    def without_secrets(self, text: str) -> str:
        """The text, which may hold labels, without the values of parameters that are secrets."""
        found: list[str] = []
        for experiment in self.study.experiments:
            shown = masked_parameters(experiment.parameters)
            found += [
                value
                for name, value in experiment.parameters.items()
                if isinstance(value, str) and shown[name] != value
            ]
        return mask_secrets(text, found)

    @property
    def simulated(self) -> bool:
        server = self.experiment.server
        by_engine = server is not None and load_engine(server.engine).simulated
        return by_engine or any(bool(row.get("simulated")) for row in self.rows)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why this is not simply the best configuration, one sentence each; empty if it is."""
        found = []
        if self.simulated:
            found.append("SIMULATED: these numbers say nothing about real hardware")
        if pending := len(self.ranking.pending):
            found.append(f"NOT FINISHED: {pending} experiments of the study are to come")
        match self.entry.status:
            case EntryStatus.FEASIBLE:
                found += self._doubts_about_the_lead()
            case EntryStatus.PRUNED:
                found.append(f"GIVEN UP, as it cannot win: {self.entry.score.reason}")
            case EntryStatus.INFEASIBLE:
                found.append(f"INFEASIBLE: {self.entry.score.reason}")
            case EntryStatus.PENDING:
                found.append(f"NOT MEASURED: {self.entry.score.reason}")
            case EntryStatus.NOT_COMPARABLE:
                found.append(f"NOT COMPARABLE with the rest: {self.entry.score.reason}")
        return tuple(self.without_secrets(doubt) for doubt in found)

    def _doubts_about_the_lead(self) -> list[str]:
        leader = self.ranking.winner
        if leader is not None and leader.experiment_id != self.experiment.id:
            return [
                f"NOT THE BEST: rank {self.entry.rank}; the study's best is "
                f"{leader.experiment_id} ({leader.label})"
            ]
        match self.ranking.verdict.kind:
            case VerdictKind.TIED:
                return ["TIED: others are as good within what was measured"]
            case VerdictKind.NOT_ENOUGH_EVIDENCE:
                return ["NOT ENOUGH EVIDENCE: another configuration may be better"]
        return []

    def measured(self, column: str) -> tuple[str, ...]:
        """The different values of a column of the rows, as text; missing ones left out."""
        values = (row.get(column) for row in self.rows)
        return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value))


def select(results: StudyResults, wanted: str | None = None) -> Selection:
    """The study's best experiment, or the one whose id begins with ``wanted``.

    Raises:
        UserError: no experiment has a usable result, or none or several ids begin so.
    """
    ranking = results.ranking()
    id_ = _best(ranking, results.study.name) if wanted is None else _named(results.study, wanted)
    counting = frozenset(results.compared.get(id_) or results.chosen.get(id_, ()))
    records = results.experiments.to_dict("records")
    rows = [{str(k): v for k, v in row.items()} for row in records]
    entry = next(entry for entry in ranking.entries if entry.experiment_id == id_)
    return Selection(
        study=results.study,
        experiment=next(e for e in results.study.experiments if e.id == id_),
        entry=entry,
        ranking=ranking,
        rows=[row for row in rows if row["attempt_id"] in counting],
        metrics=metrics_of(results, ranking, entry),
    )


def _best(ranking: Ranking, study: str) -> str:
    if ranking.winner is not None:
        return ranking.winner.experiment_id
    if len(ranking.pending) == len(ranking.entries):
        raise UserError(f"study {study!r} has no result yet: nothing has been measured")
    reasons = {e.score.reason for e in ranking.entries if e.status is not EntryStatus.PENDING}
    raise UserError(
        f"study {study!r} has no feasible experiment ({len(ranking.pending)} of "
        f"{len(ranking.entries)} not measured yet); for example: {min(reasons)}. "
        "To export one all the same, name it with --experiment"
    )


def _named(study: StudyRecord, wanted: str) -> str:
    ids = [experiment.id for experiment in study.experiments]
    found = [id_ for id_ in ids if id_ == wanted] or [i for i in ids if i.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"--experiment {wanted}: several begin so: {', '.join(found)}")
    labels = "\n".join(f"  {e.id}  {e.label}" for e in study.experiments[:20])
    raise UserError(f"--experiment {wanted}: no experiment's id begins so. There are:\n{labels}")
