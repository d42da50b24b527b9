"""The shell script: bash reads back what the study measured, and nothing else is run."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotuner.engines.registry import load_engine
from autotuner.export.deployment import Deployment, Options
from autotuner.export.shell import shell_lines, shell_script
from autotuner.spec.server import ServerConfig

Make = Callable[..., Deployment]
Run = Callable[..., tuple[list[str], dict[str, str]]]


def expected(server: ServerConfig, name: str, port: int = 8000) -> list[str]:
    return load_engine(server.engine).command(server, host="127.0.0.1", port=port, served_name=name)


def test_it_starts_the_complete_tuned_command(deployment: Make, run_script: Run) -> None:
    made = deployment(options=Options(port=9000, served_name="mine"))
    argv, variables = run_script(shell_script(made), "vllm")
    assert ["vllm", *argv] == expected(made.server, "mine", 9000)
    assert argv[:2] == ["serve", "Qwen/Qwen3-8B"]
    assert variables["VLLM_NO_USAGE_STATS"] == "1"


def test_the_server_listens_on_loopback(deployment: Make, run_script: Run) -> None:
    argv, _ = run_script(shell_script(deployment()), "vllm")
    assert argv[argv.index("--host") + 1] == "127.0.0.1"


def test_a_hub_model_is_served_under_its_id_and_a_folder_under_its_name(
    deployment: Make,
) -> None:
    assert deployment(model="Qwen/Qwen3-8B").served_name == "Qwen/Qwen3-8B"
    assert deployment(model="/models/Qwen3-8B").served_name == "Qwen3-8B"


def test_bash_passes_every_value_on_unchanged(
    hostile: str, hostile_deployment: Make, run_script: Run
) -> None:
    made = hostile_deployment(hostile)
    argv, variables = run_script(shell_script(made), "vllm", {"HF_TOKEN": "hf_real"})
    assert ["vllm", *argv] == expected(made.server, hostile)
    assert variables["NOTE"] == hostile
    assert not Path("/tmp/pwned").exists()


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_any_words_are_split_again_as_they_were(words: list[str]) -> None:
    text = shell_lines(["vllm", *words]).replace(" \\\n  ", " ")
    assert shlex.split(text) == ["vllm", *words]


def test_a_secret_is_asked_for_and_never_written(deployment: Make, run_script: Run) -> None:
    made = deployment(environment={"HF_TOKEN": "***"}, flags={"api-key": "sk-123"})
    text = shell_script(made)
    assert "***" not in text
    assert "sk-123" not in text
    assert ': "${HF_TOKEN:?set it}"' in text
    with pytest.raises(RuntimeError, match="HF_TOKEN: set it"):
        run_script(text, "vllm", {"API_KEY": "given"})
    argv, variables = run_script(text, "vllm", {"HF_TOKEN": "hf_real", "API_KEY": "a 'b'"})
    assert argv[-2:] == ["--api-key", "a 'b'"]
    assert variables.get("HF_TOKEN") == "hf_real"


def test_a_secret_that_the_record_failed_to_mask_is_not_written_either(deployment: Make) -> None:
    made = deployment(
        environment={"VLLM_API_KEY": "sk-123"},
        parameters={"env.VLLM_API_KEY": "sk-123", "max-num-seqs": 8},
    )
    assert "sk-123" not in shell_script(made)


def test_flags_that_are_off_are_left_out_and_bare_ones_are_bare(
    deployment: Make, run_script: Run
) -> None:
    made = deployment(flags={"a": True, "b": False, "c": None, "d": 0, "e": -1, "f": 1e-05})
    argv, _ = run_script(shell_script(made), "vllm")
    assert argv[-6:] == ["--a", "--d", "0", "--e=-1", "--f", "1e-05"]


def test_every_engine_has_its_own_command(deployment: Make, run_script: Run) -> None:
    argv, _ = run_script(shell_script(deployment("sglang")), "python3")
    assert argv[:2] == ["-m", "sglang.launch_server"]
    argv, _ = run_script(shell_script(deployment("custom")), "serve-it")
    assert argv[:5] == ["--on", "127.0.0.1:8000", "--as", "Qwen/Qwen3-8B", "Qwen/Qwen3-8B"]


def test_the_nodes_own_program_is_kept(deployment: Make) -> None:
    made = deployment(executable="/opt/vllm venv/bin/python")
    assert "exec '/opt/vllm venv/bin/python' -m vllm.entrypoints" in shell_script(made)


def test_it_says_how_many_gpus_it_takes(deployment: Make) -> None:
    assert "It takes 4 GPUs" in shell_script(deployment(gpus=4))
    assert "GPU" not in shell_script(deployment(gpus=0)).replace("gpu model", "")
