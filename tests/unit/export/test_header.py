"""The comment at the top tells the truth, and stays a comment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autotuner.export.deployment import Deployment
from autotuner.export.docker import compose_file, docker_script
from autotuner.export.header import header_of
from autotuner.export.kubernetes import kubernetes_manifests
from autotuner.export.ome import ome_manifests
from autotuner.export.selection import Selection
from autotuner.export.shell import shell_script
from autotuner.results.confidence.verdict import VerdictKind
from autotuner.results.score import EntryStatus
from autotuner.spec.server import CpuPlan, Footprint
from autotuner.version import __version__

Make = Callable[..., Deployment]
WITH_COMMENT = [shell_script, docker_script, compose_file, kubernetes_manifests, ome_manifests]


@pytest.mark.parametrize("write", WITH_COMMENT)
def test_every_format_says_what_it_is_and_how_sure(
    write: Callable[[Deployment], str], deployment: Make
) -> None:
    text = write(deployment())
    assert "# study tiny (id study1), experiment aaa1: max-num-seqs=64\n" in text
    assert "# verdict: winner: max-num-seqs=64, 4 % (2 to 6 %) better than the next\n" in text
    assert (
        "# output_throughput_tok_s 1234 tok/s (1200 to 1270 servers) at chat D(100,100) c=16\n"
        in text
    )
    assert "engine version 0.10.1, gpu model H100\n" in text
    assert f"# measured 2025-03-01 by autotuner 0.1.0, exported by autotuner {__version__}" in text


def test_a_winner_gives_no_reason_to_doubt(deployment: Make) -> None:
    assert deployment().selection.doubts == ()


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"kind": VerdictKind.TIED}, "TIED"),
        ({"kind": VerdictKind.NOT_ENOUGH_EVIDENCE}, "NOT ENOUGH EVIDENCE"),
        ({"wanted": "bbb2"}, "NOT THE BEST: rank 2; the study's best is aaa1"),
        (
            {"status": EntryStatus.INFEASIBLE, "reason": "ttft_s_p99 too slow"},
            "INFEASIBLE: ttft_s_p99 too slow",
        ),
        (
            {"status": EntryStatus.PRUNED, "reason": "behind by 40 %"},
            "GIVEN UP, as it cannot win: behind by 40 %",
        ),
        ({"status": EntryStatus.PENDING, "reason": "not started"}, "NOT MEASURED: not started"),
        ({"status": EntryStatus.NOT_COMPARABLE, "reason": "other GPU"}, "NOT COMPARABLE"),
        ({"simulated": True}, "SIMULATED"),
    ],
)
@pytest.mark.parametrize("write", WITH_COMMENT)
def test_what_is_no_clear_winner_says_so(
    write: Callable[[Deployment], str], changes: dict[str, object], doubt: str, deployment: Make
) -> None:
    assert f"\n# {doubt}" in f"\n{write(deployment(**changes))}"


def test_the_simulated_engine_is_marked_even_without_rows(deployment: Make) -> None:
    assert "SIMULATED" in deployment("sim", versions=()).header[1]


def test_a_pinned_server_is_told_of_as_it_is_not_pinned_here(
    selection: Callable[..., Selection],
) -> None:
    chosen = selection()
    footprint = Footprint(gpus_per_node=1, cpus=CpuPlan(server=(0, 1, 2, 3)))
    pinned = replace(chosen, experiment=replace(chosen.experiment, footprint=footprint))
    assert "server pinned to CPUs 0-3 (not done here)" in "\n".join(header_of(pinned))


def test_no_value_breaks_out_of_the_comment(
    hostile: str, hostile_deployment: Callable[[str], Deployment]
) -> None:
    for line in hostile_deployment(hostile).header:
        assert line.splitlines() == [line]
        assert line.isprintable()


def test_a_secret_parameter_is_in_no_header(deployment: Make) -> None:
    made = deployment(parameters={"env.HF_TOKEN": "hf_123", "max-num-seqs": 8})
    assert "hf_123" not in "".join(made.header)
    assert "env.HF_TOKEN=***" in made.header[0]
