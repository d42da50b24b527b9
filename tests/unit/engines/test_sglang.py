import pytest

from autotuner.engines.sglang import SglangEngine
from autotuner.errors import PlanError
from autotuner.spec.server import Model, ServerConfig

ENGINE = SglangEngine()


def command(executable=None, **changes):
    model = Model("/models/m", "/models/m")
    config = ServerConfig("sglang", model, **{"flags": {}, "executable": executable, **changes})
    return ENGINE.command(config, host="127.0.0.1", port=8000, served_name="mine")


REST = ["--model-path", "/models/m", "--host", "127.0.0.1", "--port", "8000"]
REST += ["--served-model-name", "mine"]


def test_a_python_runs_the_module():
    assert command() == ["python3", "-m", "sglang.launch_server", *REST]
    assert command("/o/python3.12")[:2] == ["/o/python3.12", "-m"]


def test_the_sglang_program_serves():
    assert command("/o/sglang") == ["/o/sglang", "serve", *REST]


def test_flags_come_last():
    assert command(flags={"mem-fraction-static": 0.8})[-2:] == ["--mem-fraction-static", "0.8"]


def test_a_command_template_is_refused_rather_than_ignored():
    with pytest.raises(PlanError, match="'command'"):
        command(**{"command": ("my-server", "{port}")})


@pytest.mark.parametrize(
    ("flags", "gpus"),
    [
        ({}, 1),
        ({"tp-size": 2, "pp-size": 2}, 4),
        ({"tensor-parallel-size": 2, "dp-size": 2}, 4),
        ({"tp": 4, "dp": 2, "enable-dp-attention": True}, 4),
        ({"tp": 4, "dp": 2, "enable-dp-attention": False}, 8),
    ],
)
def test_replicas_take_gpus_of_their_own_unless_attention_is_shared(flags, gpus):
    assert ENGINE.gpus(flags) == gpus


def test_attention_replicas_must_divide_the_tensor_parallel_size():
    with pytest.raises(PlanError, match="dp-size 3 does not divide tp-size 4"):
        ENGINE.gpus({"tp-size": 4, "dp-size": 3, "enable-dp-attention": True})
