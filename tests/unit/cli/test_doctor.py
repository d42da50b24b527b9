"""`autotuner doctor` without Ray: what is checked, and the exit status."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from autotuner.cli import doctor
from autotuner.cli.main import main
from autotuner.cli.study_file import plan_of
from autotuner.execution.base import Node
from autotuner.node.checkup.finding import (
    Checkup,
    CheckupOrder,
    Finding,
    Verdict,
    failure,
    good,
    warning,
)

STUDY = """
study: tiny
engine: {name: custom, command: [no-such-server, --port, "{port}"]}
model: /m
parameters: {max-num-seqs: [1]}
workloads:
  - {name: chat, scenario: "D(10,5)", concurrency: [2], stop: {seconds: 5}}
objective: minimize_ttft
baseline: false
finalist_servers: 1
order: plan
bench: closed-loop
resources: {gpus: 4}
"""


DEAD = failure("daemon", "no answer", "ready", "Start it.")


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


@pytest.mark.parametrize(
    ("finding", "status"),
    [
        (good("a", "1"), 0),
        (warning("a", "1", "2", "Mend it."), 0),
        (failure("a", "1", "2", "Mend it."), 2),
    ],
)
def test_only_failures_make_the_exit_status_2(
    finding: object,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(doctor, "check_node", lambda order: Checkup("here", (finding,)))
    assert main(["doctor"]) == status
    assert "this machine, here" in capsys.readouterr().out


def test_the_studys_needs_reach_the_checks(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[CheckupOrder] = []
    monkeypatch.setattr(doctor, "check_node", lambda o: orders.append(o) or Checkup("here", ()))
    main(["doctor", str(study)])
    (order,) = orders
    assert order.study is not None
    assert order.study.server.engine == "custom"
    assert order.study.bench.name == "closed-loop"
    assert (order.study.least_gpus, order.study.most_gpus) == (4, 4)
    assert order.output is not None
    assert order.ray_gpus is None


def test_what_the_study_lacks_here_is_printed(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(study)]) == 2
    text = capsys.readouterr().out
    assert "no-such-server not found" in text
    assert "4 for the study" in text


def test_a_bad_study_file_is_the_users_mistake(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study.write_text("study: tiny\n")
    assert main(["doctor", str(study)]) == 1
    assert str(study) in capsys.readouterr().err


@pytest.mark.parametrize("where", ["argument", "environment"])
def test_an_address_without_a_ray_is_the_users_mistake(
    where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--address", "127.0.0.1:9"] if where == "argument" else []
    if where == "environment":
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    assert main(["doctor", *words]) == 1
    assert "no Ray at '127.0.0.1:9'" in capsys.readouterr().err


def test_the_address_of_the_jobs_api_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    monkeypatch.setattr(doctor, "check_node", lambda order: Checkup("here", ()))
    assert main(["doctor"]) == 0


def test_this_machine_is_checked_without_importing_ray() -> None:
    code = (
        "import sys; from autotuner.cli.main import main; main(['doctor']); "
        "assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def nodes(*gpus: int) -> Sequence[Node]:
    return [Node(f"{index}" * 8, f"host-{index}", count, 8) for index, count in enumerate(gpus)]


def test_a_study_that_no_node_can_hold_is_a_failure_of_the_cluster(study: Path) -> None:
    needs = doctor.study_needs(plan_of(study))
    assert doctor.room_for_study(needs, nodes(0, 4)) == []
    (finding,) = doctor.room_for_study(needs, nodes(2, 2))
    assert finding.read == "at most 2 on a node"
    assert doctor.room_for_study(None, nodes(0)) == []


def test_a_study_of_which_no_node_has_the_quota_is_a_failure_of_the_cluster(study: Path) -> None:
    planned = plan_of(study)
    quotad = [replace(e, footprint=replace(e.footprint, quota="pods")) for e in planned.experiments]
    needs = doctor.study_needs(replace(planned, experiments=tuple(quotad)))
    assert (needs.least_gpus, needs.most_gpus, needs.least_share) == (0, 0, 4)
    without, little, enough = (
        [Node("a" * 8, "host", 0, 8, quotas=quotas)] for quotas in ({}, {"pods": 2}, {"pods": 4})
    )
    assert doctor.room_for_study(needs, enough) == []
    (finding,) = doctor.room_for_study(needs, without)
    assert (finding.check, finding.read) == ("Ray resource pods", "none on any node")
    assert "`ray start --resources '{\"pods\": 4}'`" in finding.fix
    (finding,) = doctor.room_for_study(needs, little)
    assert finding.read == "at most 2 on a node"


def test_what_is_missing_may_still_come_where_the_cluster_can_grow(study: Path) -> None:
    needs = doctor.study_needs(plan_of(study))
    (finding,) = doctor.room_for_study(needs, [], can_grow=True)
    assert (finding.check, finding.verdict) == ("GPUs", Verdict.WARNING)


def test_a_gpu_type_that_no_node_has_and_too_few_nodes_are_failures(study: Path) -> None:
    planned = plan_of(study)
    (experiment,) = planned.experiments

    def needs(**more: object) -> doctor.StudyNeeds:
        footprint = replace(experiment.footprint, **more)  # type: ignore[arg-type]
        return doctor.study_needs(
            replace(planned, experiments=(replace(experiment, footprint=footprint),))
        )

    nodes = [Node(name * 8, f"host-{name}", 4, 8, "L40S") for name in "ab"]
    (finding,) = doctor.room_for_study(needs(gpu_type="H100"), nodes)
    assert (finding.check, finding.read, finding.verdict) == (
        "GPU type",
        "L40S",
        Verdict.FAILURE,
    )
    (finding,) = doctor.room_for_study(needs(nodes=3), nodes)
    assert (finding.check, finding.read) == ("nodes", "2 that are large enough")
    assert doctor.room_for_study(needs(nodes=2, gpu_type="l40s"), nodes) == []


def test_the_needs_are_those_of_the_widest_server(study: Path) -> None:
    study.write_text(STUDY.replace("max-num-seqs: [1]", "max-num-seqs: [1, 2]"))
    planned = plan_of(study)
    narrow, wide = planned.experiments
    narrow = replace(narrow, footprint=replace(narrow.footprint, gpus_per_node=1))
    needs = doctor.study_needs(replace(planned, experiments=(narrow, wide)))
    assert needs.server == wide.server
    assert needs.footprint == wide.footprint
    assert (needs.least_gpus, needs.most_gpus) == (1, 4)


def test_the_flags_of_all_experiments_are_to_be_checked_unless_the_study_says_no(
    study: Path,
) -> None:
    assert doctor.study_needs(plan_of(study)).flags == {"max-num-seqs": (1,)}
    study.write_text(STUDY.replace("{name: custom,", "{name: custom, check_flags: false,"))
    assert doctor.study_needs(plan_of(study)).flags is None


@pytest.mark.parametrize(("finding", "status"), [(good("a", "1"), 0), (DEAD, 2)])
def test_plan_with_check_prints_the_plan_and_then_what_doctor_finds(
    finding: Finding,
    status: int,
    study: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(doctor, "check_node", lambda order: Checkup("here", (finding,)))
    assert main(["plan", str(study), "--check"]) == status
    text = capsys.readouterr().out
    assert text.index("study tiny") < text.index("this machine, here")


def test_plan_without_check_checks_nothing(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "check_node", None)
    assert main(["plan", str(study)]) == 0


def test_plan_with_an_address_checks_the_cluster(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(study), "--address", "127.0.0.1:9"]) == 1
    printed = capsys.readouterr()
    assert "study tiny" in printed.out
    assert "no Ray at '127.0.0.1:9'" in printed.err


def test_nodes_on_one_host_are_told_apart() -> None:
    twins = [Node("aaaaaaaa", "host", 0, 1), Node("bbbbbbbb", "host", 0, 1)]
    assert list(doctor.node_names(twins).values()) == ["host aaaaaa", "host bbbbbb"]
    assert list(doctor.node_names(nodes(0, 0)).values()) == ["host-0", "host-1"]
