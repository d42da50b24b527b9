"""Reads a study file into a `StudySpec`, or says everything that is wrong with it.

Each section is validated by itself, so that a mistake in one does not hide those in the
others; rules across sections run on whatever could be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autotuner.spec.experiment import Timeouts
from autotuner.spec.launching import LaunchSettings
from autotuner.spec.output_address import address_problem, is_address
from autotuner.spec.server import CpuPlan, Value
from autotuner.spec.source_lines import read_source
from autotuner.spec.study import BenchConfig, Resources, StudySource, StudySpec
from autotuner.spec.study_baseline import read_baseline
from autotuner.spec.study_bench import check_benchmark_job, read_bench
from autotuner.spec.study_engine import (
    engine_name,
    fixed_flags,
    fixed_places,
    read_engine,
    read_model,
)
from autotuner.spec.study_exclusions import read_exclusions
from autotuner.spec.study_hints import KEY_HINTS
from autotuner.spec.study_judging import JUDGING_KEYS, read_judging
from autotuner.spec.study_launch_choice import Choice, choose
from autotuner.spec.study_launching import (
    LAUNCHING_KEYS,
    Overrides,
    read_launcher,
    read_settings,
)
from autotuner.spec.study_load import check_loads
from autotuner.spec.study_numbers import whole_number
from autotuner.spec.study_parameters import SearchSpace, read_parameters
from autotuner.spec.study_paths import StudyPaths
from autotuner.spec.study_presets import read_presets, with_presets
from autotuner.spec.study_problems import Problems, unknown_name
from autotuner.spec.study_schema import CpuSection, ResourcesSection, TimeoutsSection
from autotuner.spec.study_search import read_search
from autotuner.spec.study_values import study_name_fault
from autotuner.spec.study_workloads import read_workloads
from autotuner.spec.workload import Workload

__all__ = ["load_study"]

_REQUIRED = {
    "study": "study: quickstart",
    "engine": "engine: {name: vllm}",
    "model": "model: ../models/llama",
    "workloads": "workloads: [{scenario: 'D(100,100)', concurrency: [1, 8], stop: {seconds: 60}}]",
    "objective": "objective: {name: maximize_throughput, over: best}",
}
_OPTIONAL = (
    "description",
    *LAUNCHING_KEYS,
    "preset",
    "parameters",
    "exclude",
    "search",
    *JUDGING_KEYS,
    "repeats",
    "baseline",
    "order",
    "seed",
    "resources",
    "timeouts",
    "bench",
    "max_attempts",
    "give_up_after",
    "max_gpus",
    "output",
)

_NO_OVERRIDES = Overrides()
_ORDERS = ("random", "plan")


def load_study(path: Path, overrides: Overrides = _NO_OVERRIDES) -> StudySpec:
    """Read a study file: ``.json`` as JSON, any other suffix as YAML.

    Args:
        overrides: What counts instead of what the file says.

    Raises:
        StudyFileError: with every problem of the file, each with line, key, value and fix.
    """
    return _StudyReader(Problems(read_source(path)), overrides).study()


class _StudyReader:
    def __init__(self, problems: Problems, overrides: Overrides) -> None:
        self._problems, self._overrides = problems, overrides
        self._paths = StudyPaths(problems)
        self._warnings: list[str] = []
        # A key without a value says no more than a key that is left out.
        self._data = {k: v for k, v in problems.source.data.items() if v is not None}

    def study(self) -> StudySpec:
        """The study.

        Raises:
            StudyFileError: with everything that any section complained about.
        """
        data, problems, paths = self._data, self._problems, self._paths
        self._check_keys()
        engine = read_engine(data["engine"], problems, paths) if "engine" in data else None
        model = read_model(data["model"], problems, paths) if "model" in data else None
        workloads = (
            read_workloads(data["workloads"], problems, paths) if "workloads" in data else None
        )
        resources = self._resources()
        launcher = read_launcher(data, problems, self._overrides)
        choice = Choice(launcher, engine, model, resources, self._overrides.image)
        judging = read_judging(data, problems, workloads, resources.gpus)
        max_gpus = self._max_gpus()
        presets = read_presets(data.get("preset"), problems, engine_name(problems))
        space, rules, used = with_presets(self._space(), presets, resources, max_gpus)
        name = self._name()
        repeats = self._count("repeats", 1, 1, "1 measures each level once per server")
        optional: dict[str, Any] = {
            "exclusions": (*read_exclusions(data.get("exclude"), problems, space), *rules),
            "presets": used,
            "baseline": self._baseline(space),
            "order_seed": self._order_seed(),
            "launcher": launcher,
            "launch": self._launch(choice),
            "searching": read_search(
                data.get("search"),
                problems,
                paths,
                seed=self._seed(),
                objective=judging.objective if judging is not None else None,
                gpus=resources.gpus,
                finds_load=any(workload.find is not None for workload in workloads or ()),
            ),
            "bench": self._bench(launcher, workloads or ()),
            "timeouts": self._timeouts(),
            "max_attempts": self._count("max_attempts", 2, 1, "the first attempt counts"),
            "give_up_after": self._count("give_up_after", 3, 0, "0 never gives up"),
            "max_gpus": max_gpus,
            "output": self._output(name),
            "description": self._text("description"),
            "warnings": tuple(self._warnings),
            "source": StudySource(str(problems.source.path), problems.source.lines),
        }
        if workloads is not None and judging is not None:
            check_loads(workloads, judging, optional["searching"], problems)
        if problems or engine is None or model is None or workloads is None or judging is None:
            raise problems.error()
        # Where a load is found, the search decides what is measured again.
        repeated = tuple(w if w.find else replace(w, repeats=repeats) for w in workloads)
        return StudySpec(
            name, engine, model, space.axes, repeated, judging, resources=resources, **optional
        )

    def _check_keys(self) -> None:
        allowed = (*_REQUIRED, *_OPTIONAL)
        for key in self._problems.source.data:
            if key not in allowed:
                self._problems.add((key,), KEY_HINTS.get(key) or unknown_name(key, allowed))
        for key, example in _REQUIRED.items():
            if key not in self._data:
                state = "has no value" if key in self._problems.source.data else "is missing"
                fix = f"this key {state}; write for instance `{example}`"
                self._problems.add((key,), fix, show=False)

    def _text(self, key: str) -> str:
        value = self._data.get(key, "")
        if isinstance(value, str):
            return value
        self._problems.add((key,), "write this as text, in quotes")
        return ""

    def _name(self) -> str:
        name = self._text("study")
        given = isinstance(self._data.get("study"), str)
        if given and (fix := study_name_fault(name)) is not None:
            self._problems.add(("study",), fix)
        return name

    def _space(self) -> SearchSpace:
        space = read_parameters(
            self._data.get("parameters"),
            self._problems,
            fixed_places(self._problems),
            engine_name(self._problems),
        )
        values = {**fixed_flags(self._problems), **space.values}
        return SearchSpace(space.axes, values, space.tied)

    def _resources(self) -> Resources:
        content = self._data.get("resources", {})
        section = self._problems.validated(ResourcesSection, content, ("resources",))
        if section is None:
            return Resources()
        return Resources(
            section.gpus,
            self._cpus(section.cpus),
            section.gpus_per_node,
            section.gpu_type,
            whole_nodes=section.exclusive is not None,
        )

    def _cpus(self, cpus: CpuSection | None) -> CpuPlan:
        if cpus is None:
            return CpuPlan()
        both = sorted(set(cpus.server) & set(cpus.load))
        if both:
            fix = f"server and load must not share CPUs, but both have {both[0]}"
            self._problems.add(("resources", "cpus", "load"), fix)
        pinned = len({*cpus.server, *cpus.load})
        reserve = cpus.reserve or pinned or CpuPlan().reserve
        return CpuPlan(reserve, cpus.server, cpus.load)

    def _timeouts(self) -> Timeouts:
        content = self._data.get("timeouts", {})
        section = self._problems.validated(TimeoutsSection, content, ("timeouts",))
        return Timeouts(**section.model_dump(exclude_none=True)) if section else Timeouts()

    def _launch(self, choice: Choice) -> LaunchSettings | None:
        settings = read_settings(self._data, self._problems, self._paths)
        return choose(choice, settings, self._data, self._problems, self._warnings)

    def _bench(self, launcher: str, workloads: Sequence[Workload]) -> BenchConfig:
        content = self._data.get("bench")
        check_benchmark_job(content, launcher, workloads, self._problems)
        return read_bench(content, self._problems, self._paths)

    def _count(self, key: str, default: int, least: int, remark: str) -> int:
        return whole_number(
            self._data, key, self._problems, default=default, least=least, remark=remark
        )

    def _max_gpus(self) -> int | None:
        if self._data.get("max_gpus") is None:
            return None
        return self._count("max_gpus", 1, 1, "leave this key out for no limit")

    def _baseline(self, space: SearchSpace) -> Mapping[str, Value] | None:
        engine = engine_name(self._problems)
        return read_baseline(self._data.get("baseline"), self._problems, space, engine)

    def _seed(self) -> int:
        return self._count("seed", 0, 0, "another number gives another random order")

    def _order_seed(self) -> int | None:
        order = self._data.get("order", _ORDERS[0])
        if order not in _ORDERS:
            self._problems.add(("order",), unknown_name(str(order), _ORDERS, "order"))
        if order != "plan":
            return self._seed()
        if "seed" in self._data and "search" not in self._data:
            self._warnings.append("`seed` is not used: with `order: plan` nothing is drawn.")
        return None

    def _output(self, name: str) -> Path | str:
        given = self._text("output")
        if not given:
            return Path.cwd() / "results" / name
        if is_address(given):
            if (problem := address_problem(given)) is not None:
                # Not shown where it may hold a password.
                self._problems.add(("output",), problem, show="@" not in given)
            return given
        return Path(self._paths.absolute(given, ("output",)))
