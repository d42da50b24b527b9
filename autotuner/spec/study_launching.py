"""How servers are brought up: ``launcher``, and the sections that its settings stand in.

Every section that a file holds is checked; only that of the chosen launcher reaches the study.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from autotuner.spec.cluster_names import (
    label_key_fault,
    label_value_fault,
    own_key_fault,
    quantity_fault,
)
from autotuner.spec.launching import DockerSettings, LaunchSettings, OmeSettings, PodSettings
from autotuner.spec.names import LAUNCHERS
from autotuner.spec.source_lines import Loc
from autotuner.spec.study_launching_schema import (
    DockerSection,
    OmeSection,
    PodSection,
    TolerationSection,
)
from autotuner.spec.study_mounts import read_mounts
from autotuner.spec.study_parameters import text_of
from autotuner.spec.study_paths import StudyPaths
from autotuner.spec.study_problems import Problems, unknown_name
from autotuner.spec.study_schema import Section

__all__ = ["LAUNCHING_KEYS", "Overrides", "read_launcher", "read_settings"]

LAUNCHING_KEYS = ("launcher", "docker", "kubernetes", "ome")

S = TypeVar("S", bound=Section)

_AFFINITIES = ("nodeAffinity", "podAffinity", "podAntiAffinity")
_ULIMITS = (
    *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc"),
    *("rss", "rtprio", "rttime", "sigpending", "stack"),
)


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a command line says instead of the file."""

    launcher: str | None = None
    image: str | None = None


def read_launcher(data: Mapping[str, object], problems: Problems, overrides: Overrides) -> str:
    """Name of the chosen launcher."""
    launcher = overrides.launcher or data.get("launcher", LAUNCHERS[0])
    if launcher not in LAUNCHERS:
        problems.add(("launcher",), unknown_name(str(launcher), LAUNCHERS, "launcher"))
    return str(launcher)


def read_settings(
    data: Mapping[str, object], problems: Problems, paths: StudyPaths
) -> dict[str, LaunchSettings]:
    """Settings of each launcher that has a section, or needs none; images as they stand there."""
    reader = _SettingsReader(data, problems, paths)
    found = {
        "docker": reader.docker(),
        "kubernetes": reader.kubernetes(),
        "ome": reader.ome() if "ome" in data else None,
    }
    return {name: settings for name, settings in found.items() if settings is not None}


class _SettingsReader:
    def __init__(self, data: Mapping[str, object], problems: Problems, paths: StudyPaths) -> None:
        self._data, self._problems, self._paths = data, problems, paths

    def docker(self) -> DockerSettings | None:
        section = self._section("docker", DockerSection)
        if section is None:
            return None
        if section.ipc == "host" and section.shm_gib is not None:
            fix = "with `ipc: host` the server uses the node's /dev/shm; remove this key"
            self._problems.add(("docker", "shm_gib"), fix)
        for name in section.ulimits:
            if name not in _ULIMITS:
                fix = unknown_name(name, _ULIMITS, "limit")
                self._problems.add(("docker", "ulimits", name), fix, show=False)
        values = _given(section, DockerSettings)
        values["mounts"] = read_mounts(section.mounts, self._problems, self._paths)
        if section.hub_cache is not None:
            loc: Loc = ("docker", "hub_cache")
            values["hub_cache"] = self._paths.absolute(section.hub_cache, loc)
        return DockerSettings(**values)

    def kubernetes(self) -> PodSettings | None:
        section = self._section("kubernetes", PodSection)
        return None if section is None else self._pod("kubernetes", section)

    def ome(self) -> OmeSettings | None:
        section = self._section("ome", OmeSection)
        if section is None:
            return None
        if section.runtime is None and section.runtime_kind is not None:
            fix = "this is the kind of a runtime that `runtime` names; add it, or remove this key"
            self._problems.add(("ome", "runtime_kind"), fix)
        return OmeSettings(**_given(section, OmeSettings), pod=self._pod("ome", section))

    def _section(self, key: str, kind: type[S]) -> S | None:
        content = self._data.get(key, {})
        if isinstance(content, dict):
            # A key without a value says no more than a key that is left out.
            content = {name: value for name, value in content.items() if value is not None}
        return self._problems.validated(kind, content, (key,))

    def _pod(self, key: str, section: PodSection) -> PodSettings:
        values = _given(section, PodSettings)
        if section.kubeconfig is not None:
            values["kubeconfig"] = self._paths.absolute(section.kubeconfig, (key, "kubeconfig"))
        if section.model_mount is not None and section.model_claim is None:
            fix = "this is where the claim of `model_claim` is mounted; add it, or remove this key"
            self._problems.add((key, "model_mount"), fix)
        if section.model_on_nodes and section.model_claim is not None:
            fix = "the model comes from `model_claim`; keep one of them"
            self._problems.add((key, "model_on_nodes"), fix)
        values["requests"] = self._requests(key, section)
        for name in ("node_selector", "labels", "annotations"):
            values[name] = self._labels((key, name), getattr(section, name))
        values["tolerations"] = self._tolerations((key, "tolerations"), section.tolerations)
        for name in section.affinity:
            if name not in _AFFINITIES:
                fix = unknown_name(name, _AFFINITIES)
                self._problems.add((key, "affinity", name), fix, show=False)
        return PodSettings(**values)

    def _requests(self, key: str, section: PodSection) -> dict[str, str]:
        requests = {}
        devices = section.gpu_resource or PodSettings().gpu_resource
        for name, value in section.requests.items():
            loc: Loc = (key, "requests", name)
            requests[name] = text_of(self._problems.source, loc, value)
            if name == devices or name.endswith("/gpu"):
                fix = "GPUs follow from the parallel sizes, or from resources.gpus; remove this key"
                self._problems.add(loc, fix)
            elif label_key_fault(name) is not None:
                fix = "this is no resource's name; write for instance cpu, memory"
                self._problems.add(loc, fix, show=False)
            elif (fault := quantity_fault(name, requests[name])) is not None:
                self._problems.add(loc, fault)
        return requests

    def _labels(self, loc: Loc, content: Mapping[str, object]) -> dict[str, str]:
        labels = {}
        for name, value in content.items():
            labels[name] = text_of(self._problems.source, (*loc, name), value)
            is_selector = loc[-1] == "node_selector"
            fault = label_key_fault(name) if is_selector else own_key_fault(name)
            if fault is not None:
                self._problems.add((*loc, name), fault, show=False)
            elif loc[-1] != "annotations" and (fault := label_value_fault(labels[name])):
                self._problems.add((*loc, name), fault)
        return labels

    def _tolerations(self, loc: Loc, content: list[Any]) -> tuple[Mapping[str, Any], ...]:
        items = (
            self._problems.validated(TolerationSection, item, (*loc, index))
            for index, item in enumerate(content)
        )
        return tuple(item.model_dump(exclude_none=True) for item in items if item is not None)


def _given(section: DockerSection | PodSection, settings: type[Any]) -> dict[str, Any]:
    """What the section says of the fields of its settings, lists as tuples."""
    names = {one.name for one in fields(settings)}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in section.model_dump(exclude_none=True).items()
        if name in names
    }
