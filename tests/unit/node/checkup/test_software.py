"""Engine, load generator, model and versions on a node."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from autotuner.bench.genai_bench import GenaiBench
from autotuner.errors import LaunchError
from autotuner.node.checkup import software
from autotuner.node.checkup.finding import CheckupOrder, StudyNeeds, Verdict
from autotuner.spec.server import Footprint, Model, ServerConfig
from autotuner.spec.study import BenchConfig
from autotuner.version import __version__


def order(
    server: ServerConfig | None = None, *, bench: str = "closed-loop", ray_gpus: int | None = None
) -> CheckupOrder:
    server = server or ServerConfig("sim", Model("/m", "/m"), {})
    study = StudyNeeds(server, BenchConfig(bench), least_gpus=1, most_gpus=1)
    return CheckupOrder(ray_gpus=ray_gpus, study=study)


def custom(*command: str) -> ServerConfig:
    return ServerConfig("custom", Model("/m", "/m"), {}, command=(*command, "--port", "{port}"))


def test_the_studys_engine_is_shown_with_its_version_and_program() -> None:
    (finding,) = software.engine(order())
    assert finding.verdict is Verdict.OK
    assert finding.check == "engine sim"
    assert finding.read.startswith(f"{__version__} (")
    assert finding.alike


def test_an_engine_that_has_no_version_need_only_be_there() -> None:
    (finding,) = software.engine(order(custom(sys.executable)))
    assert (finding.verdict, finding.read) == (Verdict.OK, sys.executable)


def test_a_missing_program_is_a_failure_that_names_it() -> None:
    (finding,) = software.engine(order(custom("no-such-server")))
    assert finding.verdict is Verdict.FAILURE
    assert finding.read == "no-such-server not found"


def test_a_program_that_does_not_tell_its_version_is_a_failure() -> None:
    server = ServerConfig("vllm", Model("/m", "/m"), {}, executable=sys.executable)
    (finding,) = software.engine(order(server))  # our Python, which has no vLLM
    assert finding.verdict is Verdict.FAILURE
    assert "without a version" in finding.read


def test_an_engine_of_a_package_that_the_node_lacks_is_a_failure() -> None:
    (finding,) = software.engine(order(ServerConfig("elsewhere", Model("/m", "/m"), {})))
    assert finding.verdict is Verdict.FAILURE
    assert "elsewhere" in finding.read


def test_without_a_study_engines_are_only_looked_for() -> None:
    found = list(software.engine(CheckupOrder()))
    assert [f.check for f in found] == ["engine vllm", "engine sglang"]
    assert all(f.verdict is Verdict.OK for f in found)


def test_a_node_that_is_too_small_for_the_study_needs_no_programs() -> None:
    small = order(custom("no-such-server"), ray_gpus=0)
    (finding,) = software.engine(small)
    assert finding.verdict is Verdict.OK
    assert finding.read == "no experiment fits: 0 GPUs, the least is 1"
    assert list(software.model_files(small)) == list(software.load_tool(small)) == []


def test_a_models_folder_must_be_on_the_node(tmp_path: Path) -> None:
    here, gone = str(tmp_path), str(tmp_path / "gone")
    server = ServerConfig("vllm", Model(here, gone), {})
    found = {f.check: f.verdict for f in software.model_files(order(server))}
    assert found == {f"model {here}": Verdict.OK, f"model {gone}": Verdict.FAILURE}


def test_a_model_of_a_hub_is_not_looked_for() -> None:
    server = ServerConfig("vllm", Model("org/model", "org/model"), {})
    (finding,) = software.model_files(order(server))
    assert finding.read == "named by its hub id"


def test_a_simulated_engine_reads_no_model() -> None:
    assert list(software.model_files(order())) == []


@pytest.mark.parametrize(("number", "verdict"), [("0.0.5", Verdict.OK), ("0.0.4", Verdict.FAILURE)])
def test_genai_bench_is_wanted_in_the_pinned_version(
    number: str, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GenaiBench, "version", lambda *_: number)
    (finding,) = software.load_tool(order(bench="genai-bench"))
    assert finding.verdict is verdict
    assert (finding.read, finding.wanted) == (number, "0.0.5")


def test_a_missing_load_generator_fails_a_study_and_warns_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*_: object) -> str:
        raise LaunchError("genai-bench not found (looked for it). Install it")

    monkeypatch.setattr(GenaiBench, "version", missing)
    (finding,) = software.load_tool(order(bench="genai-bench"))
    assert finding.verdict is Verdict.FAILURE
    assert (finding.read, finding.fix) == ("genai-bench not found (looked for it)", "Install it.")
    (finding,) = software.load_tool(CheckupOrder())
    assert finding.verdict is Verdict.WARNING


def test_versions_are_compared_with_the_drivers() -> None:
    here = software.own_versions()
    (same,) = software.versions(CheckupOrder(driver_versions=here))
    assert same.verdict is Verdict.OK
    (alone,) = software.versions(CheckupOrder())
    assert (alone.verdict, alone.read) == (Verdict.OK, same.read)
    other = replace(CheckupOrder(), driver_versions=(*here[:-1], ("pyarrow", "1.0")))
    (differs,) = software.versions(other)
    assert differs.verdict is Verdict.WARNING
    assert "version of pyarrow" in differs.fix


def test_a_node_without_the_quota_is_not_asked_for_its_programs() -> None:
    plain = order(custom("no-such-server"), ray_gpus=8)
    assert plain.study is not None
    study = replace(plain.study, footprint=Footprint(2, quota="pods"), least_gpus=0, least_share=2)
    (finding,) = software.engine(replace(plain, study=study))
    assert finding.read == "no experiment fits: 0 of pods, the least is 2"
    (finding,) = software.engine(replace(plain, study=study, ray_quotas={"pods": 2}))
    assert finding.verdict is Verdict.FAILURE
