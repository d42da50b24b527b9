"""What a launcher finds on a node, as findings."""

from __future__ import annotations

import pytest

from autotuner.errors import PlanError
from autotuner.launchers.base import Readiness
from autotuner.node.checkup import launching
from autotuner.node.checkup.finding import (
    CheckupOrder,
    StudyNeeds,
    Verdict,
    failure,
    good,
    warning,
)
from autotuner.spec.server import Footprint, Model, ServerConfig
from autotuner.spec.study import BenchConfig

FOUND = (
    Readiness("daemon", "answers"),
    Readiness("image", "absent", "Pull it."),
    Readiness("runtime", "old", "upgrade it", blocks=False),
)


class Finds:
    def __init__(self) -> None:
        self.asked: list[tuple[ServerConfig, Footprint, bool]] = []

    def check(
        self, server: ServerConfig, footprint: Footprint, *, fetch: bool = False
    ) -> tuple[Readiness, ...]:
        self.asked.append((server, footprint, fetch))
        return FOUND


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> Finds:
    launcher = Finds()
    monkeypatch.setattr(launching, "load_launcher", lambda name: {"docker": launcher}[name])
    return launcher


def order(
    footprint: Footprint, *, launcher: str = "docker", least_share: int = 0, **ray: object
) -> CheckupOrder:
    server = ServerConfig("sim", Model("/m", "/m"), {}, launcher=launcher)
    study = StudyNeeds(
        server,
        BenchConfig("closed-loop"),
        least_gpus=footprint.reserved_gpus,
        most_gpus=footprint.reserved_gpus,
        footprint=footprint,
        least_share=least_share,
    )
    return CheckupOrder(study=study, **ray)  # type: ignore[arg-type]


def test_what_it_says_becomes_findings_and_nothing_is_fetched(finds: Finds) -> None:
    footprint = Footprint(2)
    assert list(launching.launcher(order(footprint))) == [
        good("daemon", "answers"),
        failure("image", "absent", "ready", "Pull it."),
        warning("runtime", "old", "ready", "Upgrade it."),
    ]
    ((_, asked_for, fetch),) = finds.asked
    assert asked_for == footprint
    assert not fetch


def test_a_launcher_that_the_node_cannot_load_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise PlanError(f"no {name} here")

    monkeypatch.setattr(launching, "load_launcher", missing)
    (finding,) = launching.launcher(order(Footprint(0)))
    assert (finding.check, finding.read) == ("launcher docker", "no docker here")
    assert finding.verdict is Verdict.FAILURE


def test_without_a_study_nothing_is_asked(finds: Finds) -> None:
    assert list(launching.launcher(CheckupOrder())) == []
    assert finds.asked == []


def test_a_launcher_of_processes_has_nothing_to_say() -> None:
    assert list(launching.launcher(order(Footprint(0), launcher="process"))) == []


@pytest.mark.parametrize(
    ("quotas", "asks"),
    [({}, False), ({"pods": 1}, False), ({"other": 9}, False), ({"pods": 2}, True)],
)
def test_a_node_with_too_little_of_the_quota_is_not_asked(
    finds: Finds, quotas: dict[str, int], asks: bool
) -> None:
    need = order(Footprint(4, quota="pods"), least_share=2, ray_gpus=8, ray_quotas=quotas)
    assert bool(list(launching.launcher(need))) is asks
    assert bool(finds.asked) is asks
