"""What every search strategy must keep to, as tests: for those of other packages too.

Derive a class in a test file, and pytest runs it::

    from autotuner.search.contract import StrategyContract
    from my_package import MyStrategy


    class TestMyStrategy(StrategyContract):
        strategy = MyStrategy

Entry points ``name = "my_package:MyStrategy"`` of the group ``autotuner.strategies`` make it known
to study files by that name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from autotuner.search.base import Ask, Candidate, Ended, Problem, Strategy, Told
from autotuner.search.level_plans import NoMore, Seen
from autotuner.spec.judging import Judging
from autotuner.spec.objective import Constraint, Direction, Objective, Over
from autotuner.spec.searching import Searching, StopWhen
from autotuner.spec.server import Value
from autotuner.spec.workload import Level

__all__ = ["StrategyContract", "example_problem", "example_told"]

_LEVELS = tuple(Level("chat", "D(100,100)", concurrency) for concurrency in (1, 8, 64))
_TTFT_LIMIT_S = 1.0


def example_problem(seed: int = 0, stop: int | None = None) -> Problem:
    """A small server: numbers, a switch, words, a flag that may be left out, and a condition.

    Args:
        seed: Of the search.
        stop: `StopWhen.no_improvement`.
    """
    candidates = []
    for tp, seqs, mode, eager in itertools.product(
        (1, 2, 4), (None, 16, 64, 256), ("auto", "fp8"), (True, False)
    ):
        parameters: dict[str, Value] = {"tp": tp, "max-num-seqs": seqs, "kv": mode}
        # A flag that only some of the configurations have.
        parameters |= {"enforce-eager": eager} if tp > 1 else {}
        name = "-".join(str(value) for value in (tp, seqs, mode, eager and tp > 1))
        candidates.append(Candidate(name, parameters, tp, _LEVELS))
    unique = tuple({candidate.id: candidate for candidate in candidates}.values())
    objective = Objective(
        "throughput", "output_throughput_tok_s_per_gpu", Direction.MAXIMIZE, over=Over.BEST
    )
    judging = Judging(objective, (Constraint("ttft_s", "p99", _TTFT_LIMIT_S),))
    return Problem(unique, judging, Searching(seed=seed, stop_when=StopWhen(no_improvement=stop)))


def example_told(candidate: Candidate, ended: Ended | None = Ended.COMPLETED) -> Told:
    """What the small server shows, however it ended."""
    if ended is Ended.FAILED or ended is Ended.LOST:
        return Told(candidate.id, {}, ended)
    levels = _LEVELS[:1] if ended is Ended.PRUNED else _LEVELS
    return Told(candidate.id, {level: _row(candidate.parameters, level) for level in levels}, ended)


def _row(parameters: Mapping[str, Value], level: Level) -> dict[str, object]:
    tp, seqs = int(parameters["tp"] or 1), int(parameters["max-num-seqs"] or 128)
    running = min(seqs, level.concurrency)
    tpot_s = (0.01 + 0.0004 * running) / tp**0.7
    tpot_s *= 1.3 if parameters.get("enforce-eager") else 1.0
    tpot_s *= 0.9 if parameters["kv"] == "fp8" else 1.0
    ttft_s = 0.05 * level.concurrency / running / tp**0.5
    throughput = running / tpot_s
    return {
        "output_throughput_tok_s": throughput,
        "output_throughput_tok_s_per_gpu": throughput / tp,
        "tpot_s_p50": tpot_s,
        "ttft_s_p50": ttft_s,
        "ttft_s_p99": 2 * ttft_s,
    }


class StrategyContract:
    """Derive from it with a ``strategy``; see the module."""

    strategy: ClassVar[type[Strategy]]

    def make(self, problem: Problem) -> Strategy:
        """The strategy under test; override it where it takes `Searching.options`."""
        return self.strategy(problem)

    def test_no_candidate_is_asked_for_twice(self) -> None:
        asked = [ask.candidate for ask in self._run(example_problem(), slots=3)]
        assert len(asked) == len(set(asked))

    def test_only_candidates_of_the_problem_are_asked_for(self) -> None:
        problem = example_problem()
        known = {candidate.id for candidate in problem.candidates}
        assert {ask.candidate for ask in self._run(problem, slots=3)} <= known

    def test_only_levels_of_the_candidate_are_measured(self) -> None:
        problem = example_problem()
        by_id = _by_id(problem)
        for ask in self._run(problem, slots=3):
            assert set(ask.levels.most) <= set(by_id[ask.candidate].levels)
            given = _given(ask, by_id[ask.candidate])
            assert len(given) == len(set(given)) <= len(ask.levels.most)

    def test_no_more_are_asked_for_than_there_are_slots(self) -> None:
        strategy = self.make(example_problem())
        for most in (0, 1, 2, 5):
            assert len(strategy.ask(most)) <= most

    def test_what_runs_is_not_asked_for_again(self) -> None:
        problem = example_problem()
        strategy = self.make(problem)
        asked = [ask.candidate for _ in range(10) for ask in strategy.ask(20)]
        assert asked
        assert len(asked) == len(set(asked))

    def test_a_level_that_arrives_does_not_make_it_be_asked_for_again(self) -> None:
        problem = example_problem()
        strategy, by_id = self.make(problem), _by_id(problem)
        first = strategy.ask(1)[0].candidate
        strategy.tell(example_told(by_id[first], ended=None))
        assert first not in [ask.candidate for ask in strategy.ask(10)]

    def test_what_runs_though_nobody_asked_for_it_is_not_asked_for(self) -> None:
        problem = example_problem()
        strategy = self.make(problem)
        first = problem.candidates[0].id
        strategy.tell(Told(first))
        assert first not in [ask.candidate for _ in range(10) for ask in strategy.ask(20)]

    def test_the_same_seed_gives_the_same_answers(self) -> None:
        problem = example_problem(seed=7)
        assert [*self._run(problem, slots=3)] == [*self._run(problem, slots=3)]

    def test_a_finite_space_comes_to_an_end(self) -> None:
        problem = example_problem()
        assert 0 < len([*self._run(problem, slots=1)]) <= len(problem.candidates)

    def test_one_candidate_is_a_space_too(self) -> None:
        problem = example_problem()
        one = replace(problem, candidates=problem.candidates[:1])
        assert [ask.candidate for ask in self._run(one)] == [one.candidates[0].id]

    def test_without_candidates_it_is_finished(self) -> None:
        strategy = self.make(replace(example_problem(), candidates=()))
        assert not strategy.ask(3)
        assert strategy.finished

    def test_the_baseline_is_measured_first(self) -> None:
        problem = example_problem()
        last = problem.candidates[-1].id
        strategy = self.make(replace(problem, baseline=last))
        assert strategy.ask(2)[0].candidate == last

    def test_however_experiments_end_it_goes_on_and_ends(self) -> None:
        problem = example_problem()
        for ends in ([Ended.FAILED], [Ended.LOST], [Ended.PRUNED], list(Ended)):
            asked = [ask.candidate for ask in self._run(problem, slots=2, ends=ends)]
            assert asked
            assert len(asked) == len(set(asked))

    def test_a_completed_experiment_without_a_number_is_survived(self) -> None:
        problem = example_problem()
        strategy = self.make(problem)
        for ask in strategy.ask(4):
            strategy.tell(Told(ask.candidate, {}, Ended.COMPLETED))
        strategy.ask(4)

    def test_what_is_told_again_replaces_what_was_told(self) -> None:
        problem = example_problem()
        strategy, by_id = self.make(problem), _by_id(problem)
        asked = [ask.candidate for ask in strategy.ask(3)]
        for ended in (Ended.FAILED, Ended.COMPLETED, Ended.PRUNED, Ended.COMPLETED):
            for one in asked:
                strategy.tell(example_told(by_id[one], ended))
            assert not {*asked} & {ask.candidate for ask in strategy.ask(1)}

    def test_a_resumed_study_asks_for_nothing_that_an_earlier_run_has_measured(self) -> None:
        problem = example_problem()
        ends = [Ended.COMPLETED, Ended.FAILED, Ended.LOST, Ended.PRUNED]
        history = [
            example_told(candidate, end)
            for candidate, end in zip(problem.candidates[::2], itertools.cycle(ends), strict=False)
        ]
        measured = {told.candidate for told in history}
        assert not measured & {ask.candidate for ask in self._run(problem, 2, history=history)}

    def test_a_resumed_study_gives_the_same_answers_each_time(self) -> None:
        problem = example_problem(seed=3)
        history = [example_told(candidate) for candidate in problem.candidates[:12]]
        first, second = (self._run(problem, slots=2, history=history) for _ in range(2))
        assert [*first] == [*second]

    def test_it_says_why_it_is_finished_when_nothing_gets_better(self) -> None:
        problem = example_problem(stop=4)
        strategy, same = self.make(problem), example_told(problem.candidates[0])
        for _ in problem.candidates:
            for ask in strategy.ask(1):
                strategy.tell(replace(same, candidate=ask.candidate))
        assert strategy.finished
        assert not strategy.ask(1)

    def _run(
        self,
        problem: Problem,
        slots: int = 1,
        ends: Sequence[Ended] = (Ended.COMPLETED,),
        history: Sequence[Told] = (),
    ) -> Iterator[Ask]:
        """All that is asked for, each told of as a slot is needed."""
        strategy, by_id = self.make(problem), _by_id(problem)
        for told in history:
            strategy.tell(told)
        running: list[Ask] = []
        end_of_next = itertools.cycle(ends)
        while True:
            asks = list(strategy.ask(slots - len(running)))
            running += asks
            yield from asks
            if not running:
                assert strategy.finished, "nothing is asked for, nothing runs, and no reason given"
                return
            done = running.pop(0)
            strategy.tell(example_told(by_id[done.candidate], next(end_of_next)))


def _by_id(problem: Problem) -> dict[str, Candidate]:
    return {candidate.id: candidate for candidate in problem.candidates}


def _given(ask: Ask, candidate: Candidate) -> list[Level]:
    """The levels that a server of this plan is loaded with, if all go well."""
    seen: list[Seen] = []
    while not isinstance(level := ask.levels.next(seen), NoMore):
        seen.append(Seen(level, _row(candidate.parameters, level), ok=True))
    return [one.level for one in seen]
