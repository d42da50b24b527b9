"""How a study file wants its space searched: ``search``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from autotuner.spec.durations import seconds_of
from autotuner.spec.names import (
    ESTIMATORS_TOGETHER,
    STRATEGY_ALIASES,
    estimator_names,
    strategy_names,
)
from autotuner.spec.objective import Objective, Over
from autotuner.spec.output_address import is_address
from autotuner.spec.searching import Budget, LevelChoice, Searching, StopWhen
from autotuner.spec.source_lines import Loc
from autotuner.spec.study_paths import StudyPaths
from autotuner.spec.study_problems import Problems, unknown_name
from autotuner.spec.study_schema import Section, Text, example, fault

__all__ = ["SearchSection", "read_search"]

_HOUR_S = 3600.0
_LOC: Loc = ("search",)


def _named(value: str) -> str:
    known = strategy_names()
    if value not in known:
        raise fault(unknown_name(value, known, "strategy"))
    return STRATEGY_ALIASES.get(value, value)


def _levels(value: str) -> str:
    known = [choice.value for choice in LevelChoice]
    if value not in known:
        raise fault(unknown_name(value, known, "choice"))
    return value


def _seconds(value: object) -> float:
    seconds = seconds_of(value)
    if seconds is None:
        raise fault('write seconds above 0, or text with units: "8h", "90m", "1h30m", "2d"')
    return seconds


def _gain(value: float) -> float:
    if not 0 < value < 1:
        raise fault("this is a fraction of the best, above 0 and below 1, such as 0.01")
    return value


Count = Annotated[int, Field(ge=1)]
_CHOOSES_LEVELS = "adaptive"
"""The strategy that leaves out levels where it may, unless the study says otherwise."""
_IN_STOP_WHEN = "unknown key; write `stop_when: {no_improvement: 10}`"


class StopWhenSection(Section):
    no_improvement: Count | None = example(10, default=None)
    expected_gain_below: Annotated[float, AfterValidator(_gain)] | None = example(
        0.01, default=None
    )

    hints: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("patience", "no_improvements", "stale", "rounds", "n_iter_no_change"),
            "unknown key; did you mean `no_improvement`?",
        ),
        **dict.fromkeys(
            ("gain", "expected_gain", "expected_improvement", "improvement_below", "tolerance"),
            "unknown key; did you mean `expected_gain_below`?",
        ),
    }


class SearchSection(Section):
    strategy: Annotated[Text, AfterValidator(_named)] = example("tpe", default="grid")
    seed: int | None = example(0, default=None, ge=0)
    first: Count | None = example(10, default=None)
    levels: Annotated[Text, AfterValidator(_levels)] | None = example("all", default=None)
    estimator: Text | None = example("roofline", default=None)
    max_experiments: Count | None = example(40, default=None)
    max_gpu_hours: Annotated[float, Field(gt=0)] | None = example(100, default=None)
    max_wall_time: Annotated[Any, AfterValidator(_seconds)] = example("8h", default=None)
    stop_when: StopWhenSection = example(
        "{no_improvement: 10}", default_factory=lambda: StopWhenSection()
    )
    max_candidates: Count = example(10_000, default=Searching().most_candidates)
    options: dict[str, Any] | None = example("{key: value}", default=None)

    hints: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("algorithm", "sampler", "method", "name", "optimizer", "type"),
            "unknown key; did you mean `strategy`?",
        ),
        **dict.fromkeys(
            (
                "n_trials",
                "max_trials",
                "trials",
                "num_trials",
                "num_samples",
                "max_iterations",
                "iterations",
                "max_evals",
                "n_calls",
                "budget",
                "experiments",
                "max_runs",
            ),
            "unknown key; did you mean `max_experiments`? Time is limited by `max_wall_time`, "
            "money by `max_gpu_hours`",
        ),
        **dict.fromkeys(
            ("gpu_hours", "max_gpu_time", "gpu_budget"),
            "unknown key; did you mean `max_gpu_hours`?",
        ),
        **dict.fromkeys(
            ("timeout", "max_time", "max_hours", "wall_time", "time_limit", "time", "max_seconds"),
            "unknown key; did you mean `max_wall_time`? It takes seconds, or text such as 8h",
        ),
        **dict.fromkeys(
            (
                "n_initial",
                "n_initial_random",
                "n_initial_points",
                "n_startup_trials",
                "n_startup",
                "initial",
                "startup",
                "warmup",
            ),
            "unknown key; did you mean `first`?",
        ),
        **dict.fromkeys(
            ("pruner", "pruning", "early_stopping", "racing"),
            "unknown key; did you mean `levels: adaptive`?",
        ),
        **dict.fromkeys(("patience", "no_improvement", "expected_gain_below"), _IN_STOP_WHEN),
        **dict.fromkeys(("prior", "predictor", "model"), "unknown key; did you mean `estimator`?"),
        **dict.fromkeys(
            ("candidates", "pool", "most_candidates", "max_points"),
            "unknown key; did you mean `max_candidates`?",
        ),
        **dict.fromkeys(("random_state", "random_seed"), "unknown key; did you mean `seed`?"),
        **dict.fromkeys(
            (
                "finalist_servers",
                "max_repeats",
                "max_gpus",
                "parameters",
                "exclude",
                "max_attempts",
            ),
            "unknown key here; it stands at the top level of the file",
        ),
    }


def read_search(
    content: object,
    problems: Problems,
    paths: StudyPaths,
    *,
    seed: int,
    objective: Objective | None,
    gpus: int | None = None,
    finds_load: bool = False,
) -> Searching:
    """The file's ``search``; the default where it has none, or problems, which are noted.

    Args:
        content: The name of a strategy alone, or a mapping; None: everything is measured.
        seed: Of the study.
        objective: None where it could not be read.
        gpus: ``resources.gpus``.
        finds_load: Whether a workload's levels are found, so that no others decide about them.
    """
    if content is None:
        return Searching(seed=seed)
    if isinstance(content, str):
        if (fix := _fault_of_name(content)) is not None:
            problems.add(_LOC, fix)
            return Searching(seed=seed)
        content = {"strategy": content}
    section = problems.validated(SearchSection, content, _LOC)
    if section is None:
        return Searching(seed=seed)
    best_counts = objective is not None and objective.over is Over.BEST
    levels = LevelChoice.ALL if section.levels is None else LevelChoice(section.levels)
    if section.levels is None and section.strategy == _CHOOSES_LEVELS:
        levels = LevelChoice.ADAPTIVE if best_counts and not finds_load else LevelChoice.ALL
    if levels is LevelChoice.ADAPTIVE and objective is not None and not best_counts:
        fix = (
            "levels can be left out only where the best of them counts; write `levels: all`, or "
            "`over: best` under `objective`"
        )
        problems.add((*_LOC, "levels"), fix)
    if gpus == 0 and section.max_gpu_hours is not None:
        fix = "there are no GPUs to count, as `resources.gpus` is 0; write `max_wall_time`"
        problems.add((*_LOC, "max_gpu_hours"), fix)
    wall_s = section.max_wall_time
    return Searching(
        section.strategy,
        seed if section.seed is None else section.seed,
        section.first,
        levels,
        _estimator(section.estimator, paths, problems),
        Budget(
            section.max_experiments,
            section.max_gpu_hours,
            None if wall_s is None else wall_s / _HOUR_S,
        ),
        StopWhen(section.stop_when.no_improvement, section.stop_when.expected_gain_below),
        section.max_candidates,
        section.options or {},
    )


def _fault_of_name(name: str) -> str | None:
    known = strategy_names()
    return None if name in known else unknown_name(name, known, "strategy")


def _estimator(text: str | None, paths: StudyPaths, problems: Problems) -> str | None:
    """Names as they are, folders of earlier results made absolute, with ``+`` between several."""
    if text is None:
        return None
    loc = (*_LOC, "estimator")
    whole = paths.path_or_hub_id(text, loc)
    if whole != text:
        return whole  # a folder, though its name may have a `+`
    parts = [part.strip() for part in text.split(ESTIMATORS_TOGETHER)]
    return f" {ESTIMATORS_TOGETHER} ".join(_one_estimator(one, paths, problems) for one in parts)


def _one_estimator(text: str, paths: StudyPaths, problems: Problems) -> str:
    loc = (*_LOC, "estimator")
    if is_address(text):
        return text
    if "/" in text:
        return paths.absolute(text, loc)
    found = paths.path_or_hub_id(text, loc)
    known = estimator_names()
    if found == text and text not in known:
        problems.add(loc, f"{unknown_name(text, known, 'estimator')}, or a folder of results")
    return found
