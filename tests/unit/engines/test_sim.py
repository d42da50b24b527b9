import subprocess
import sys

import pytest

from autotuner.engines.base import Engine, Rank
from autotuner.engines.sim import SimEngine
from autotuner.engines.sim_server import build_parser
from autotuner.errors import PlanError
from autotuner.spec.experiment import FailureKind
from autotuner.spec.server import Model, ServerConfig

ENGINE = SimEngine()


def server(**changes):
    values = {"engine": "sim", "model": Model("/models/m", "/models/m"), "flags": {}}
    return ServerConfig(**{**values, **changes})


def command(config):
    return ENGINE.command(config, host="127.0.0.1", port=8123, served_name="mine")


def test_the_server_understands_the_command():
    flags = {"max-num-seqs": 4, "enable-prefix-caching": True, "noise-cv": 0.05}
    argv = command(server(flags=flags))
    assert argv[:3] == [sys.executable, "-m", "autotuner.engines.sim_server"]
    read = build_parser().parse_args(argv[3:])
    assert (read.model, read.served_model_name, read.host, read.port) == (
        "/models/m",
        "mine",
        "127.0.0.1",
        8123,
    )
    assert (read.max_num_seqs, read.enable_prefix_caching, read.noise_cv) == (4, True, 0.05)


def test_a_command_template_is_refused_rather_than_ignored():
    with pytest.raises(PlanError, match="'command'"):
        command(server(command=("my-server", "{port}")))


def test_the_tensor_parallel_size_takes_gpus():
    assert ENGINE.gpus({"tensor-parallel-size": 2}) == 2


def test_the_version_command_prints_a_version():
    argv = ENGINE.version_command(server())
    result = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert result.stdout.strip()[0].isdigit()


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ({"no-such-flag": 1}, FailureKind.CONFIG_REJECTED),
        ({"max-num-seqs": 0}, FailureKind.CONFIG_REJECTED),
        ({"max-num-seqs": 16, "max-num-batched-tokens": 8}, FailureKind.CONFIG_REJECTED),
        ({"fault-oom-at-start": True}, FailureKind.OUT_OF_MEMORY_AT_LOAD),
    ],
)
def test_what_the_server_says_at_its_end_is_understood(flags, kind):
    argv = command(server(flags=flags))
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode != 0
    diagnosis = ENGINE.diagnose(ended.stderr, ready=False)
    assert diagnosis is not None
    assert diagnosis.kind is kind


def test_a_crash_without_a_known_cause_gives_no_diagnosis():
    argv = command(server(flags={"fault-crash-at-start": True}))
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert ENGINE.diagnose(ended.stderr, ready=False) is None


def rank_command(config, number=1):
    rank = Rank(number, 3, "10.0.0.1", 2345)
    return ENGINE.rank_command(config, rank, host="127.0.0.1", port=8123, served_name="mine")


def test_the_server_understands_the_command_of_a_rank():
    read = build_parser().parse_args(rank_command(server())[3:])
    assert (read.nnodes, read.node_rank) == (3, 1)
    assert (read.master_addr, read.master_port) == ("10.0.0.1", 2345)


def test_the_place_of_a_rank_cannot_be_set_by_hand():
    with pytest.raises(PlanError, match="node-rank = 1 cannot be set"):
        rank_command(server(flags={"node-rank": 1}))


def test_an_engine_that_knows_nothing_of_ranks_cannot_span_nodes():
    class Plain(SimEngine):
        name = "plain"
        rank_command = Engine.rank_command

    rank = Rank(0, 2, "10.0.0.1", 2345)
    with pytest.raises(PlanError, match=r"engine 'plain' cannot span nodes.*gpus_per_node"):
        Plain().rank_command(server(), rank, host="127.0.0.1", port=1, served_name="mine")


def test_an_underscore_is_no_dash_to_it():
    (argv,) = ENGINE.help_commands(server())
    printed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "`max-num-seqs`" in ENGINE.read_help(printed).name_fault("max_num_seqs")
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--model", "m", "--max_num_seqs", "4"])


def test_its_own_help_lists_all_its_flags():
    (argv,) = ENGINE.help_commands(server())
    printed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    known = ENGINE.read_help(printed)
    own = {option.lstrip("-") for a in build_parser()._actions for option in a.option_strings}
    assert own - {"h"} <= known.long
