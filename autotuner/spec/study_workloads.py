"""The traffic of a study file: ``workloads``."""

from __future__ import annotations

from autotuner.spec.source_lines import Loc
from autotuner.spec.study_paths import StudyPaths
from autotuner.spec.study_problems import Problems
from autotuner.spec.study_values import is_text_scenario
from autotuner.spec.study_workloads_schema import WorkloadSection
from autotuner.spec.workload import Dataset, LoadRange, StopRule, Workload

__all__ = ["read_workloads"]


def read_workloads(
    content: object, problems: Problems, paths: StudyPaths
) -> tuple[Workload, ...] | None:
    """The file's ``workloads``; None where one of them could not be read."""
    if not isinstance(content, list):
        problems.add(("workloads",), "write a list: each item begins with `- scenario: D(100,100)`")
        return None
    if not content:
        problems.add(("workloads",), "the list is empty; describe at least one workload")
        return None
    found = [_workload(item, ("workloads", i), problems, paths) for i, item in enumerate(content)]
    first: dict[str, int] = {}
    for index, workload in enumerate(found):
        if workload is None:
            continue
        before = first.setdefault(workload.name, index)
        if before != index:
            line = problems.source.line(("workloads", before))
            fix = f"the workload on line {line} is called `{workload.name}` too; rename one of them"
            problems.add(("workloads", index, "name"), fix, show=False)
    workloads = tuple(workload for workload in found if workload is not None)
    return workloads if len(workloads) == len(found) else None


def _workload(content: object, loc: Loc, problems: Problems, paths: StudyPaths) -> Workload | None:
    section = problems.validated(WorkloadSection, content, loc)
    if section is None:
        return None
    if not is_text_scenario(section.scenario):
        fix = (
            f"this scenario belongs to another task than {section.task}; "
            "write D(...), N(...), U(...) or dataset"
        )
        problems.add((*loc, "scenario"), fix)
    if section.scenario == "dataset" and section.dataset is None:
        fix = "the scenario `dataset` needs prompts; add `dataset: {path: prompts.csv}`"
        problems.add((*loc, "dataset"), fix, show=False)
    _check_request(section, loc, problems)
    find = _load_range(section, loc, problems)
    concurrency = (section.concurrency or [1]) if find is None else find.steps
    return Workload(
        name=section.name or section.scenario,
        scenario=section.scenario,
        concurrency=tuple(concurrency),
        stop=StopRule(section.stop.seconds, section.stop.requests),
        task=section.task,
        dataset=_dataset(section, (*loc, "dataset"), problems, paths),
        request=section.request or {},
        warmup_requests=section.warmup_requests,
        repeats=1 if find is None else find.times,
        find=find,
    )


def _load_range(section: WorkloadSection, loc: Loc, problems: Problems) -> LoadRange | None:
    load = section.load
    if load is None:
        if section.concurrency is None:
            fix = (
                "this key is missing; write `concurrency: [1, 8]`, or have the largest load found: "
                "`load: {find: max_concurrency, max: 512}`"
            )
            problems.add((*loc, "concurrency"), fix, show=False)
        return None
    if section.concurrency is not None:
        fix = "`concurrency` lists the levels and `load` finds one; remove one of them"
        problems.add((*loc, "load"), fix, show=False)
    if load.min > load.max:
        problems.add((*loc, "load", "min"), f"this is above `max`, {load.max}")
        return None
    return LoadRange(load.min, load.max, load.within)


def _check_request(section: WorkloadSection, loc: Loc, problems: Problems) -> None:
    # genai-bench sets it by itself, and asks on its standard input whether it may.
    if "ignore_eos" in (section.request or {}):
        fix = (
            "remove this key: scenarios with token counts always generate to their full length, "
            "datasets always stop at the end of the answer"
        )
        problems.add((*loc, "request", "ignore_eos"), fix)


def _dataset(
    section: WorkloadSection, loc: Loc, problems: Problems, paths: StudyPaths
) -> Dataset | None:
    dataset = section.dataset
    if dataset is None:
        return None
    if (dataset.path is None) == (dataset.config is None):
        fix = "give one of `path` (a file or a hub id) and `config` (a JSON file)"
        problems.add(loc, fix)
    if dataset.config is not None and dataset.prompt_column is not None:
        fix = "with `config`, the column stands in that file; remove this key"
        problems.add((*loc, "prompt_column"), fix)
    return Dataset(
        paths.prompts(dataset.path, (*loc, "path")) if dataset.path is not None else None,
        paths.absolute(dataset.config, (*loc, "config")) if dataset.config is not None else None,
        dataset.prompt_column,
    )
