import subprocess
import sys

import pytest

from autotuner.engines.vllm import VllmEngine
from autotuner.errors import PlanError
from autotuner.spec.server import Model, ServerConfig

ENGINE = VllmEngine()


def server(**changes):
    values = {"engine": "vllm", "model": Model("/models/m", "/models/m"), "flags": {}}
    return ServerConfig(**{**values, **changes})


def command(config, port: int | str = 8000):
    return ENGINE.command(config, host="127.0.0.1", port=port, served_name="mine")


ADDRESS = ["--host", "127.0.0.1", "--port", "8000", "--served-model-name", "mine"]


@pytest.mark.parametrize("executable", [None, "/opt/vllm/bin/vllm"])
def test_the_vllm_program_serves_the_model(executable):
    config = server(executable=executable, flags={"max-num-seqs": 16})
    start = [executable or "vllm", "serve", "/models/m"]
    assert command(config) == [*start, *ADDRESS, "--max-num-seqs", "16"]


def test_a_python_runs_the_module():
    config = server(executable="/opt/vllm/bin/python")
    start = ["/opt/vllm/bin/python", "-m", "vllm.entrypoints.openai.api_server"]
    assert command(config) == [*start, "--model", "/models/m", *ADDRESS]


def test_the_port_of_a_printed_plan_may_be_a_placeholder():
    assert "<port>" in command(server(), port="<port>")


def test_a_command_template_is_refused_rather_than_ignored():
    with pytest.raises(PlanError, match="'command'"):
        command(server(command=("my-server", "{port}")))


def test_usage_reports_are_off_unless_the_user_has_set_them():
    assert ENGINE.environment(server())["VLLM_NO_USAGE_STATS"] == "1"
    theirs = server(environment={"VLLM_NO_USAGE_STATS": "0"})
    assert "VLLM_NO_USAGE_STATS" not in ENGINE.environment(theirs)


@pytest.mark.parametrize(
    ("flags", "gpus"),
    [
        ({}, 1),
        ({"tensor-parallel-size": 4}, 4),
        ({"-tp": 2, "pipeline_parallel_size": 2, "data-parallel-size": 3}, 12),
        ({"tensor-parallel-size": 4, "decode-context-parallel-size": 2}, 4),
        ({"prefill-context-parallel-size": 2}, 2),
    ],
)
def test_gpus_are_the_product_of_the_sizes_that_take_gpus(flags, gpus):
    assert ENGINE.gpus(flags) == gpus


def test_the_version_comes_from_the_interpreter_or_the_program():
    assert ENGINE.version_command(server(executable="/o/python3"))[:2] == ["/o/python3", "-c"]
    assert ENGINE.version_command(server()) == ["vllm", "--version"]


def test_the_version_of_an_interpreter_without_vllm_is_an_error():
    argv = ENGINE.version_command(server(executable=sys.executable))
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "not installed" in result.stderr
