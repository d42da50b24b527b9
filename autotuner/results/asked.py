"""The experiments that a search has asked for, one small file each.

A search may have thousands of candidates of which it measures a few dozen, so that ``study.json``
says how many there are, and these files say everything of those that were chosen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from autotuner.errors import OutputError
from autotuner.results.files import ResultPaths, write_text
from autotuner.results.place import Place, contents
from autotuner.results.study_record import ExpectedExperiment, StudyRecord

__all__ = ["AskedExperiments", "read_asked", "read_stopped", "write_stopped"]


@dataclass(frozen=True, slots=True)
class _Asked:
    place: int
    """In the plan, from 0."""
    experiment: ExpectedExperiment


class AskedExperiments:
    """Writes down what a search asks for; before any row of it, so that readers know it.

    Args:
        study: With all candidates.
        detail: Fills in what is left out of candidates, as it takes long: command and server.
    """

    def __init__(
        self,
        paths: ResultPaths,
        study: StudyRecord,
        detail: Callable[[ExpectedExperiment], ExpectedExperiment] = lambda experiment: experiment,
    ) -> None:
        self._paths = paths
        self._detail = detail
        self._places = {experiment.id: n for n, experiment in enumerate(study.experiments)}
        self._experiments = study.experiments

    def add(self, ids: Collection[str], why: str = "") -> None:
        """Write down those of these experiments that are candidates.

        Those that are written down already keep why they were asked for, if nothing is said.

        Raises:
            OutputError: the disk refuses.
        """
        if not ids:
            return
        self._paths.asked.mkdir(exist_ok=True)
        before = {} if why else {one.id: one.why for one in read_asked(self._paths)}
        for id_ in sorted(self._places.keys() & ids):
            place = self._places[id_]
            known = self._detail(self._experiments[place])
            content = _Asked(place, replace(known, why=why or before.get(id_, "")))
            text = json.dumps(_adapter().dump_python(content, mode="json"), allow_nan=False)
            write_text(self._file(id_), text + "\n")

    def keep(self, ids: Collection[str]) -> None:
        """Remove what is written of all other experiments.

        Raises:
            OutputError: the disk refuses.
        """
        for path in _files(self._paths):
            if path.stem not in ids:
                path.unlink(missing_ok=True)

    def _file(self, id_: str) -> Place:
        return self._paths.asked / f"{id_}.json"


def read_asked(paths: ResultPaths) -> tuple[ExpectedExperiment, ...]:
    """The experiments that were asked for, in plan order.

    Raises:
        OutputError: a file cannot be read.
    """
    found: list[_Asked] = []
    for path, source in contents(_files(paths)):
        try:
            if isinstance(source, OSError):
                raise source
            content = source.read_bytes() if isinstance(source, Path) else source.read()
            found.append(_adapter().validate_json(content))
        except FileNotFoundError:
            continue  # removed since it was listed
        except (OSError, ValueError) as error:
            raise OutputError(f"{path} cannot be read: {error}") from error
    return tuple(asked.experiment for asked in sorted(found, key=lambda asked: asked.place))


def write_stopped(paths: ResultPaths, why: str | None) -> None:
    """Write down why the search has asked for no more; None: it goes on.

    Raises:
        OutputError: the disk refuses.
    """
    write_text(paths.search, json.dumps({"stopped": why}) + "\n")


def read_stopped(paths: ResultPaths) -> str | None:
    """Why the search has asked for no more; None where it goes on, or was interrupted.

    Raises:
        OutputError: the file cannot be read.
    """
    try:
        stopped = json.loads(paths.search.read_text(encoding="utf-8"))["stopped"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{paths.search} cannot be read: {error!r}") from error
    return None if stopped is None else str(stopped)


def _files(paths: ResultPaths) -> list[Place]:
    try:
        if not paths.asked.is_dir():
            return []
        found: list[Place] = list(paths.asked.iterdir())
    except OSError as error:
        raise OutputError(f"{paths.asked} cannot be read: {error}") from error
    return [path for path in found if path.suffix == ".json" and not path.name.startswith(".")]


@cache
def _adapter() -> TypeAdapter[_Asked]:
    return TypeAdapter(_Asked)
