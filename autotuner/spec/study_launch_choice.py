"""The chosen launcher: the image of its servers, and what the rest of the study must keep to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from autotuner.spec.images import has_images, image_fault, release_image
from autotuner.spec.launching import DockerSettings, LaunchSettings, OmeSettings, PodSettings
from autotuner.spec.server import Model
from autotuner.spec.source_lines import Loc
from autotuner.spec.study import EngineConfig, Resources
from autotuner.spec.study_problems import Problems

__all__ = ["Choice", "check_image_option", "choose"]

_IN_CLUSTER = ("kubernetes", "ome")
_OVERRIDE: Loc = ("--image",)


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a study the rules about its launcher look at; None: it could not be read."""

    launcher: str
    engine: EngineConfig | None
    model: Model | None
    resources: Resources
    image: str | None = None
    """The command line's, which wins over all in the file."""


def choose(
    choice: Choice,
    settings: Mapping[str, LaunchSettings],
    data: Mapping[str, object],
    problems: Problems,
    warnings: list[str],
) -> LaunchSettings | None:
    """Settings of the chosen launcher with the image filled in; None for ``process``."""
    check_image_option(choice.image, choice.launcher, problems)
    if choice.launcher == "ome" and "ome" not in data:
        fix = "the launcher ome needs to know the model's object; add `ome: {base_model: NAME}`"
        problems.add(("ome",), fix, show=False)
    if choice.launcher in _IN_CLUSTER:
        _check_cluster(choice, data, problems)
    chosen = settings.get(choice.launcher)
    if chosen is None:
        return None
    warnings += _doubts(choice, chosen)
    return _with_image(chosen, _image(choice, chosen, data, problems))


def _with_image(settings: LaunchSettings, image: str | None) -> LaunchSettings:
    """The same settings with this image."""
    if isinstance(settings, OmeSettings):
        return replace(settings, pod=replace(settings.pod, image=image))
    return replace(settings, image=image)


def check_image_option(image: str | None, launcher: str, problems: Problems) -> None:
    """The command line's image must be one, and of use."""
    if image is None:
        return
    if launcher == "process":
        fix = (
            "the launcher process starts programs of the nodes, and no image; remove this option, "
            "or add --launcher docker"
        )
        problems.add(_OVERRIDE, fix)
    elif (fault := image_fault(image)) is not None:
        problems.add(_OVERRIDE, f"{image!r}: {fault}")


def _image(
    choice: Choice, chosen: LaunchSettings, data: Mapping[str, object], problems: Problems
) -> str | None:
    engine = choice.engine
    in_section = _in_section(data.get(choice.launcher), "image")
    if choice.image is not None:
        return choice.image
    if chosen.image is not None or in_section is not None or engine is None:
        return chosen.image
    written = _in_section(data.get("engine"), "image")
    if isinstance(written, str):
        return written
    needs_none = isinstance(chosen, OmeSettings) and chosen.runtime is not None
    if engine.version is not None and (found := release_image(engine.name, engine.version)):
        if choice.resources.gpus != 0 or needs_none:
            return found
        fix = (
            f"the image of {engine.name} {engine.version} is made for GPUs, and resources.gpus is "
            "0; name another image with `image`"
        )
        problems.add(("engine", "version"), fix)
        return None
    if not needs_none:
        problems.add(("engine", "image"), _missing_image(choice.launcher, engine), show=False)
    return None


def _missing_image(launcher: str, engine: EngineConfig) -> str:
    if not has_images(engine.name):
        return (
            f"no image is known for the engine {engine.name}, and the launcher {launcher} needs "
            "one; add `image: NAME:TAG` here"
        )
    return (
        f"the launcher {launcher} needs an image; add the engine's release here, such as `version: "
        "0.11.0`, from which it follows, or `image: NAME:TAG`"
    )


def _check_cluster(choice: Choice, data: Mapping[str, object], problems: Problems) -> None:
    launcher = choice.launcher
    engine = data.get("engine")
    command = _in_section(engine, "command")
    programs: list[tuple[Loc, object]] = [
        (("engine", "executable"), _in_section(engine, "executable"))
    ]
    if isinstance(command, list) and command:
        programs.append((("engine", "command", 0), command[0]))
    for loc, program in programs:
        if isinstance(program, str) and "/" in program and not program.startswith("/"):
            fix = (
                f"with the launcher {launcher} this is a program in the image, which has no folder "
                "of the study; write a name or an absolute path"
            )
            problems.add(loc, fix)
    if choice.resources.cpus.server:
        fix = (
            f"with the launcher {launcher} the server's node is not known beforehand, and its CPUs "
            f"cannot be named; remove this key, and write `{launcher}: {{requests: {{cpu: 8}}}}`"
        )
        problems.add(("resources", "cpus", "server"), fix)
    _check_nodes(choice, problems)


def _check_nodes(choice: Choice, problems: Problems) -> None:
    """What is said of nodes is said of Ray's, on which such a server does not run."""
    elsewhere = f"with the launcher {choice.launcher} servers do not run on Ray's nodes; "
    if choice.resources.gpu_type is not None:
        fix = f"remove this key, and write `{choice.launcher}: {{node_selector: ...}}`"
        problems.add(("resources", "gpu_type"), elsewhere + fix)
    if choice.resources.whole_nodes:
        fix = f"remove this key, and write `{choice.launcher}: {{affinity: ...}}`"
        problems.add(("resources", "exclusive"), elsewhere + fix)


def _doubts(choice: Choice, chosen: LaunchSettings) -> list[str]:
    """What may be meant, but is more likely to be forgotten; one sentence each."""
    if isinstance(chosen, OmeSettings):
        unused = [
            f"`{name}`" for name in ("model_claim", "model_on_nodes") if getattr(chosen.pod, name)
        ]
        if not unused:
            return []
        return [f"ome: {' and '.join(unused)} not used: the base model says where the model lies."]
    path = choice.model.path if choice.model is not None else ""
    if not path.startswith("/") or isinstance(chosen, DockerSettings):
        return []
    return _doubts_about_folder(path, chosen)


def _doubts_about_folder(path: str, pod: PodSettings) -> list[str]:
    if pod.model_claim is None and not pod.model_on_nodes:
        return [
            f"model: the image must hold the folder {path}, as neither `kubernetes.model_claim` "
            "nor `kubernetes.model_on_nodes` brings it to the pod."
        ]
    mount = pod.model_mount
    if mount is not None and not f"{path}/".startswith(f"{mount.rstrip('/')}/"):
        return [
            f"model: the folder {path} does not lie in `kubernetes.model_mount`, {mount}, where "
            "the claim is."
        ]
    return []


def _in_section(content: Any, key: str) -> object:
    """What is written in a section, valid or not."""
    return content.get(key) if isinstance(content, dict) else None
