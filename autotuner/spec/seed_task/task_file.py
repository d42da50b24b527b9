"""Reads a task file of the first autotuner into a `StudySpec`, or says all that is wrong with it.

What the first autotuner dropped silently is refused by name; what means something else here, or
nothing, becomes a sentence in ``StudySpec.warnings``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autotuner.spec.judging import Judging
from autotuner.spec.seed_task.deployment import read_launch, read_launcher
from autotuner.spec.seed_task.goals import read_objective, read_search, read_timeouts
from autotuner.spec.seed_task.limits import read_limits
from autotuner.spec.seed_task.notes import Notes
from autotuner.spec.seed_task.runtime import read_engine, read_model
from autotuner.spec.seed_task.search_space import combinations, parallel_sizes, read_axes
from autotuner.spec.seed_task.sections import BenchmarkSection, OptimizationSection
from autotuner.spec.seed_task.traffic import read_workloads
from autotuner.spec.server import Value
from autotuner.spec.source_lines import Source
from autotuner.spec.study import Axis, EngineConfig, StudySource, StudySpec
from autotuner.spec.study_launching import Overrides
from autotuner.spec.study_paths import StudyPaths
from autotuner.spec.study_problems import Problems, flow_text, unknown_name
from autotuner.spec.study_values import study_name_fault

__all__ = ["is_seed_task", "read_task"]

_NO_OVERRIDES = Overrides()
_REQUIRED = {
    "task_name": "task_name: quickstart",
    "model": "model: {id_or_path: meta-llama/Llama-3.2-1B-Instruct}",
    "base_runtime": "base_runtime: sglang",
    "optimization": "optimization: {objective: minimize_latency}",
    "benchmark": "benchmark: {traffic_scenarios: ['D(100,100)'], num_concurrency: [1, 4]}",
}
_OPTIONAL = (
    "description",
    "deployment_mode",
    "runtime_image_tag",
    "gpu_type",
    "clusterbasemodel_config",
    "clusterservingruntime_config",
    "storage",
    "parameters",
    "quant_config",
    "parallel_config",
    "slo",
)


def is_seed_task(source: Source) -> bool:
    """Whether a file is a task of the first autotuner rather than a study."""
    return "task_name" in source.data and "study" not in source.data


def read_task(source: Source, overrides: Overrides = _NO_OVERRIDES) -> StudySpec:
    """The study that a task file describes.

    Args:
        overrides: What counts instead of what the file says.

    Raises:
        StudyFileError: with every problem of the file, each with line, key, value and fix.
    """
    return _TaskReader(Notes(Problems(source)), overrides).study()


class _TaskReader:
    def __init__(self, notes: Notes, overrides: Overrides) -> None:
        self._notes, self._overrides = notes, overrides
        self._problems = notes.problems
        # A key without a value says no more than a key that is left out.
        self._task = {k: v for k, v in self._problems.source.data.items() if v is not None}

    def study(self) -> StudySpec:
        """The study.

        Raises:
            StudyFileError: with everything that any section complained about.
        """
        task, notes, problems = self._task, self._notes, self._problems
        self._check_keys()
        name = self._name()
        launcher = read_launcher(task, self._overrides, notes)
        engine = read_engine(task, notes)
        benchmark = problems.validated(BenchmarkSection, task.get("benchmark", {}), ("benchmark",))
        optimization = self._optimization()
        workloads = read_workloads(benchmark, notes) if benchmark is not None else ()
        tokenizer = benchmark.model_tokenizer if benchmark is not None else None
        model = None
        if "model" in task:
            model = read_model(task["model"], tokenizer, launcher, notes, StudyPaths(problems))
        launch = read_launch(
            task, launcher, engine, model[0] if model else None, self._overrides, notes
        )
        path = model[0].path if model is not None else ""
        axes = read_axes(task, engine, path, notes) if engine is not None else ()
        limits = read_limits(task, notes)
        description = self._text("description")
        if problems or engine is None or model is None or optimization is None or not workloads:
            raise problems.error()
        objective = read_objective(optimization, workloads, task.get("deployment_mode"), notes)
        return StudySpec(
            name,
            EngineConfig(engine, environment=model[1]),
            model[0],
            axes,
            workloads,
            Judging(objective, limits),
            launcher=launcher,
            launch=launch,
            timeouts=read_timeouts(optimization, notes),
            baseline=self._baseline(axes),
            searching=read_search(optimization, combinations(axes), notes, baseline=True),
            order_seed=optimization.seed or 0,
            output=Path.cwd() / "results" / name,
            description=description,
            warnings=notes.warnings(),
            source=StudySource(str(problems.source.path), problems.source.lines),
        )

    def _optimization(self) -> OptimizationSection | None:
        if "optimization" not in self._task:
            return None
        content = self._task["optimization"]
        return self._problems.validated(OptimizationSection, content, ("optimization",))

    def _name(self) -> str:
        name = self._text("task_name")
        if "task_name" in self._task and (fix := study_name_fault(name)) is not None:
            self._problems.add(("task_name",), fix)
        return name

    def _check_keys(self) -> None:
        allowed = (*_REQUIRED, *_OPTIONAL)
        for key in self._problems.source.data:
            if key not in allowed:
                self._problems.add((key,), unknown_name(key, allowed))
        for key, example in _REQUIRED.items():
            if key not in self._task:
                state = "has no value" if key in self._problems.source.data else "is missing"
                fix = f"this key {state}; write for instance `{example}`"
                self._problems.add((key,), fix, show=False)

    def _text(self, key: str) -> str:
        value = self._task.get(key, "")
        if isinstance(value, str):
            return value
        self._problems.add((key,), "write this as text, in quotes")
        return ""

    def _baseline(self, axes: tuple[Axis, ...]) -> Mapping[str, Value]:
        point = parallel_sizes(axes)
        defaults = (
            f"the engine's defaults (with {flow_text(point)})"
            if point
            else ("the engine's defaults")
        )
        self._notes.warn(
            ("parameters",),
            f"{defaults} are measured too, as the baseline that the combinations are compared "
            "with, and the finalists again on fresh servers; the first autotuner did neither",
        )
        return point
