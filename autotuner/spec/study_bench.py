"""The load generator of a study file: ``bench``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from autotuner.spec.names import LOAD_GENERATORS
from autotuner.spec.source_lines import Loc
from autotuner.spec.study import BenchConfig, BenchmarkJobSettings
from autotuner.spec.study_paths import StudyPaths
from autotuner.spec.study_problems import Problems, unknown_name
from autotuner.spec.study_schema import BenchmarkJobSection, BenchSection
from autotuner.spec.workload import Workload

__all__ = ["check_benchmark_job", "read_bench"]

BENCHMARK_JOB = "ome-benchmarkjob"
_LOC: Loc = ("bench", "benchmark_job")
_STORAGE = re.compile(
    r"pvc://(?:[a-z0-9-]+:)?[a-z0-9.-]+(?:/\S*)?|(?:s3|gs)://[^/\s]+(?:/\S*)?"
    r"|oci://n/[^/\s]+/b/[^/\s]+/o/\S+|az://[^/\s]+/[^/\s]+(?:/\S*)?"
)
_NOT_READ = ("oci://", "az://")
"""Storage that nodes read by another address, if at all."""


def read_bench(content: object, problems: Problems, paths: StudyPaths) -> BenchConfig:
    """The file's ``bench``; the default where it has problems."""
    if content is None:
        return BenchConfig()
    section = problems.validated(
        BenchSection, {"name": content} if isinstance(content, str) else content, ("bench",)
    )
    if section is None:
        return BenchConfig()
    where = _name_loc(content)
    if section.name not in LOAD_GENERATORS:
        problems.add(where, unknown_name(section.name, LOAD_GENERATORS, "load generator"))
    if section.workers and section.name == "closed-loop":
        fix = "the load generator closed-loop is one process; remove this key"
        problems.add(("bench", "workers"), fix)
    program = paths.program(section.executable, ("bench", "executable"))
    job = _benchmark_job(section, where, problems, paths)
    return BenchConfig(section.name, program, section.workers, job)


def check_benchmark_job(
    content: object,
    launcher: str,
    workloads: Sequence[Workload],
    problems: Problems,
) -> None:
    """What a load generator that is a job of OME needs of the rest of the study."""
    name = content.get("name") if isinstance(content, Mapping) else content
    if name != BENCHMARK_JOB:
        return
    if launcher != "ome":
        fix = (
            f"OME's BenchmarkJob can only load servers of the launcher ome, and this study has "
            f"{launcher}; write genai-bench, or `launcher: ome`"
        )
        problems.add(_name_loc(content), fix)
    for index, workload in enumerate(workloads):
        loc: Loc = ("workloads", index)
        if workload.stop.seconds % 60:
            near = 60 * max(1, round(workload.stop.seconds / 60))
            fix = f"OME's BenchmarkJob counts in minutes; write a multiple of 60, such as {near}"
            problems.add((*loc, "stop", "seconds"), fix)
        if workload.dataset is not None:
            fix = (
                "OME's controller does not pass `dataset` on to genai-bench; remove this key, or "
                "use the load generator genai-bench"
            )
            problems.add((*loc, "dataset"), fix)


def _name_loc(content: object) -> Loc:
    return ("bench", "name") if isinstance(content, Mapping) else ("bench",)


def _benchmark_job(
    section: BenchSection, where: Loc, problems: Problems, paths: StudyPaths
) -> BenchmarkJobSettings | None:
    job = section.benchmark_job
    if section.name != BENCHMARK_JOB:
        if job is not None:
            fix = f"only the load generator {BENCHMARK_JOB} takes this section; remove it"
            problems.add(_LOC, fix, show=False)
        return None
    for key in ("executable", "workers"):
        if getattr(section, key):
            fix = "OME starts the load generator in the cluster; remove this key"
            problems.add(("bench", key), fix)
    if job is None:
        fix = (
            f"the load generator {BENCHMARK_JOB} must know where its results go; write `bench: "
            f"{{name: {BENCHMARK_JOB}, benchmark_job: {{storage: pvc://results/tuning}}}}`"
        )
        problems.add(where, fix)
        return None
    return _job_settings(job, problems, paths)


def _job_settings(
    job: BenchmarkJobSection, problems: Problems, paths: StudyPaths
) -> BenchmarkJobSettings:
    if _STORAGE.fullmatch(job.storage) is None:
        fix = "write where results go: `pvc://claim/folder`, `pvc://namespace:claim/folder` or "
        problems.add((*_LOC, "storage"), f"{fix}`s3://bucket/folder`")
    elif job.read_from is None and job.storage.startswith(_NOT_READ):
        scheme = job.storage.partition("://")[0]
        fix = f"nodes cannot read {scheme}://; say with `read_from` as which path they see it"
        problems.add((*_LOC, "storage"), fix)
    read_from = job.read_from
    if read_from is not None and "://" not in read_from:
        read_from = paths.absolute(read_from, (*_LOC, "read_from"))
    return BenchmarkJobSettings(
        job.storage,
        read_from,
        job.image,
        job.reader_image or BenchmarkJobSettings(job.storage).reader_image,
        job.gpu_type,
        job.hub_secret,
    )
