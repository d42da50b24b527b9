"""The flags of a study, as `doctor` shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autotuner.node.checkup import flags
from autotuner.node.checkup.finding import CheckupOrder, StudyNeeds, Verdict
from autotuner.spec.server import Model, ServerConfig, Value
from autotuner.spec.study import BenchConfig
from autotuner.version import __version__


def order(
    uses: Mapping[str, Sequence[Value]] | None, *, engine: str = "sim", ray_gpus: int | None = None
) -> CheckupOrder:
    server = ServerConfig(engine, Model("/m", "/m"), {})
    needs = StudyNeeds(server, BenchConfig("closed-loop"), least_gpus=1, most_gpus=1, flags=uses)
    return CheckupOrder(ray_gpus=ray_gpus, study=needs)


def test_known_flags_are_one_good_finding_with_the_engines_version() -> None:
    (finding,) = flags.flags(order({"max-num-seqs": (4,), "noise-cv": (0.1,)}))
    assert finding.verdict is Verdict.OK
    assert finding.read == f"2, known to sim {__version__}"


def test_unknown_flags_are_one_failure_that_names_them_all_and_what_was_meant() -> None:
    (finding,) = flags.flags(order({"max-num-seq": (4,), "max-num-seqz": (1,), "tps": (1,)}))
    assert finding.verdict is Verdict.FAILURE
    assert finding.read == (
        f"sim {__version__} has no flag --max-num-seqz; did you mean `max-num-seqs`?; "
        "has no flag --tps"
    )
    assert "engine.check_flags" in finding.fix


def test_an_engine_that_cannot_be_asked_is_said_to_be_unchecked() -> None:
    (finding,) = flags.flags(order({"anything": (1,)}, engine="custom"))
    assert finding.verdict is Verdict.OK
    assert finding.read == "not checked: engine custom: it has no list of its flags"


def test_nothing_is_said_where_there_is_nothing_to_check() -> None:
    assert list(flags.flags(CheckupOrder())) == []
    assert list(flags.flags(order(None))) == list(flags.flags(order({}))) == []
    assert list(flags.flags(order({"wrong": (1,)}, ray_gpus=0))) == []
