"""The programs that a study needs on this node, and their versions."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from autotuner.bench.base import LoadContext
from autotuner.bench.genai_bench import PINNED_VERSION, GenaiBench
from autotuner.bench.registry import load_generator
from autotuner.engines.registry import load_engine
from autotuner.errors import LaunchError, PlanError
from autotuner.launchers.process import first_line
from autotuner.node.checkup.finding import (
    CheckupOrder,
    Finding,
    StudyNeeds,
    failure,
    good,
    warning,
)
from autotuner.spec.server import ServerConfig
from autotuner.spec.study import BenchConfig
from autotuner.supervision.environment import clean_environment
from autotuner.version import __version__

__all__ = [
    "engine",
    "judge_versions",
    "load_tool",
    "model_files",
    "own_versions",
    "unused_by_study",
    "versions",
]

_ENGINE_PROGRAMS = ("vllm", "sglang")


def own_versions() -> tuple[tuple[str, str], ...]:
    """What has to be the same on every node, with the versions of this one."""
    packages = ((name, _installed(name)) for name in ("ray", "pyarrow"))
    return (("Python", platform.python_version()), ("autotuner", __version__), *packages)


def versions(order: CheckupOrder) -> Iterator[Finding]:
    yield judge_versions(dict(own_versions()), dict(order.driver_versions))


def judge_versions(here: Mapping[str, str], driver: Mapping[str, str]) -> Finding:
    check, read, wanted = "versions", _listed(here), _listed(driver)
    if read == wanted or not driver:
        return good(check, read, wanted)
    other = ", ".join(name for name, number in here.items() if number != driver.get(name))
    return warning(check, read, wanted, f"Install the driver's version of {other} on this node.")


def unused_by_study(order: CheckupOrder) -> bool:
    """Whether no experiment of the study can be placed here, so that it needs no programs."""
    if order.study is None or order.ray_gpus is None:
        return False
    if (quota := order.study.footprint.quota) is not None:
        return order.ray_quotas.get(quota, 0) < order.study.least_share
    return order.ray_gpus < order.study.least_gpus


def engine(order: CheckupOrder) -> Iterator[Finding]:
    if order.study is None:
        for program in _ENGINE_PROGRAMS:
            found = shutil.which(program, path=clean_environment().get("PATH"))
            yield good(f"engine {program}", found or "not on PATH")
    elif unused_by_study(order):
        yield good("study", _why_unused(order, order.study))
    elif order.study.server.launch is None:  # else it is the launcher's to look
        yield _engine_of(order.study.server)


def _why_unused(order: CheckupOrder, study: StudyNeeds) -> str:
    least, has = study.least_gpus, f"{order.ray_gpus} GPUs"
    if (quota := study.footprint.quota) is not None:
        least, has = study.least_share, f"{order.ray_quotas.get(quota, 0)} of {quota}"
    return f"no experiment fits: {has}, the least is {least}"


def _engine_of(server: ServerConfig) -> Finding:
    check = f"engine {server.engine}"
    try:
        kind = load_engine(server.engine)
        words = kind.command(server, host="127.0.0.1", port=1, served_name="doctor")
    except PlanError as error:
        fix = "Install the package that adds this engine on the node."
        return failure(check, str(error), "can be loaded", fix)
    added = {**kind.environment(server), **server.environment, "CUDA_VISIBLE_DEVICES": ""}
    environment = clean_environment(add=added)
    program = shutil.which(words[0], path=environment.get("PATH", os.defpath))
    if program is None:
        fix = "Install the engine on this node, or name its program in engine.executable."
        return failure(check, f"{words[0]} not found", "present", fix)
    asked = kind.version_command(server)
    if asked is None:
        return good(check, program, "present", alike=True)
    if (number := first_line(asked, environment)) is None:
        fix = f"Ask {program} for its version on this node to see why it does not tell it."
        return failure(check, f"{program} without a version", "present", fix)
    return good(check, f"{number} ({program})", "present", alike=True)


def model_files(order: CheckupOrder) -> Iterator[Finding]:
    """A model or tokenizer given as a folder must be there; a hub's comes when it is needed."""
    if order.study is None or unused_by_study(order) or _is_simulated(order.study):
        return
    server = order.study.server
    model = server.model
    # Only the tokenizer is read here, where the server runs elsewhere.
    needed = (model.tokenizer,) if server.launch else (model.path, model.tokenizer)
    for path in dict.fromkeys(needed):
        check = f"model {path}"
        if not Path(path).is_absolute():
            yield good(check, "named by its hub id")
        elif Path(path).is_dir():
            yield good(check, "present", "present")
        else:
            fix = "Copy the folder to this node, or mount the file system that holds it."
            yield failure(check, "no such folder", "present", fix)


def load_tool(order: CheckupOrder) -> Iterator[Finding]:
    if unused_by_study(order):
        return
    bench = order.study.bench if order.study is not None else BenchConfig()
    # Without a study it is not known whether the node will ever need it.
    judged = failure if order.study is not None else warning
    generator = load_generator(bench.name)
    wanted = PINNED_VERSION if bench.name == GenaiBench.name else ""
    with tempfile.TemporaryDirectory(prefix="autotuner-doctor-") as folder:
        context = LoadContext(
            folder=Path(folder),
            environment=clean_environment(),
            level_grace_s=0.0,
            executable=bench.executable,
        )
        try:
            number = generator.version(context)
        except LaunchError as error:
            reason, _, fix = str(error).partition(". ")
            fix = f"{fix}." if fix else "Name its program in bench.executable."
            yield judged(bench.name, reason, wanted, fix)
            return
    if wanted and number != wanted:
        fix = f"Install {bench.name}=={wanted} into an environment of its own on this node."
        yield judged(bench.name, number or "without a version", wanted, fix)
    else:
        yield good(bench.name, number or "present", wanted, alike=True)


def _is_simulated(study: StudyNeeds) -> bool:
    return load_engine(study.server.engine).simulated


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _listed(numbers: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())
