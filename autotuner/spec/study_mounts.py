"""Folders and files of the node inside a container: ``docker.mounts``."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from autotuner.spec.launching import Mount
from autotuner.spec.source_lines import Loc
from autotuner.spec.study_paths import StudyPaths
from autotuner.spec.study_problems import Problems

__all__ = ["read_mounts"]

_MODES = ("ro", "rw")
_FORMS = "`/data`, `/data:/in/the/container` or `/data:/in/the/container:rw`"


def read_mounts(content: Sequence[str], problems: Problems, paths: StudyPaths) -> tuple[Mount, ...]:
    """Mounts, written as ``source``, ``source:target`` or ``source:target:rw``.

    A source is a path like all others of the file; it is the target too where none is given.
    """
    found: dict[str, Mount] = {}
    for index, text in enumerate(content):
        loc: Loc = ("docker", "mounts", index)
        mount = _mount(text, loc, problems, paths)
        if mount is None:
            continue
        if mount.target in found:
            fix = f"another mount has the target {mount.target} already; keep one of them"
            problems.add(loc, fix)
        found[mount.target] = mount
    return tuple(found.values())


def _mount(text: str, loc: Loc, problems: Problems, paths: StudyPaths) -> Mount | None:
    source, *rest = text.split(":")
    mode = rest.pop() if rest and rest[-1] in _MODES else _MODES[0]
    if len(rest) > 1 or not source or "" in rest:
        problems.add(loc, f"write a mount as {_FORMS}")
        return None
    if rest and not rest[0].startswith("/"):
        problems.add(loc, f"the path in the container must be absolute; write {_FORMS}")
        return None
    absolute = paths.absolute(source, loc)
    target = posixpath.normpath(rest[0] if rest else absolute)
    if target == "/":
        problems.add(loc, "a container has a root of its own; mount folders below it")
        return None
    return Mount(absolute, target, read_only=mode == _MODES[0])
