import subprocess
import sys

import pytest

from autotuner.engines.base import Rank
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


class TestRanks:
    def words(self, number=0, nodes=2, executable=None, **flags):
        config = server(flags=flags, executable=executable)
        rank = Rank(number, nodes, "10.0.0.1", 2345)
        return ENGINE.rank_command(config, rank, host="127.0.0.1", port=8000, served_name="mine")

    def test_each_rank_is_told_its_number_and_where_the_first_is(self):
        shared = ["vllm", "serve", "/models/m", *ADDRESS, "--distributed-executor-backend", "mp"]
        place = ["--nnodes", "2", "--master-addr", "10.0.0.1", "--master-port", "2345"]
        assert self.words() == [*shared, *place[:2], "--node-rank", "0", *place[2:]]
        rest = ["--node-rank", "1", *place[2:], "--headless"]
        assert self.words(1) == [*shared, *place[:2], *rest]

    def test_a_python_runs_the_command_line_which_knows_ranks_without_a_server(self):
        start = ["/o/python", "-m", "vllm.entrypoints.cli.main", "serve", "/models/m"]
        assert self.words(1, executable="/o/python")[:5] == start

    def test_what_only_an_api_server_takes_goes_to_rank_0_alone(self):
        flags = {"api-server-count": 2, "max-num-seqs": 8}
        assert "--api-server-count" in self.words(**flags)
        assert "--api-server-count" not in self.words(1, **flags)
        assert "--max-num-seqs" in self.words(1, **flags)

    def test_the_backend_is_named_once_also_where_the_user_names_it(self):
        words = self.words(**{"distributed-executor-backend": "mp"})
        assert words.count("--distributed-executor-backend") == 1

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            ({"distributed-executor-backend": "ray"}, "Ray would ask the cluster for GPUs"),
            ({"distributed_executor_backend": "external_launcher"}, "the backend mp"),
            ({"data-parallel-size": 2}, "replicas over several nodes are not supported"),
            ({"-dp": 4}, "replicas over several nodes are not supported"),
            ({"nnodes": 2}, "worked out for each node"),
            ({"--node_rank": 0}, "worked out for each node"),
            ({"master-addr": "10.0.0.9"}, "worked out for each node"),
            ({"headless": True}, "worked out for each node"),
        ],
    )
    def test_what_cannot_span_nodes_is_refused_with_the_flag_and_the_reason(self, flags, said):
        with pytest.raises(PlanError, match=rf"{next(iter(flags))} = .*{said}"):
            self.words(**flags)

    @pytest.mark.parametrize("flags", [{"data-parallel-size": 1}, {"headless": False}])
    def test_what_changes_nothing_is_let_through(self, flags):
        assert self.words(**flags)

    def test_each_rank_binds_to_the_address_that_the_cluster_knows_unless_told_otherwise(self):
        assert ENGINE.rank_environment(server(), "10.0.0.2") == {"VLLM_HOST_IP": "10.0.0.2"}
        theirs = server(environment={"VLLM_HOST_IP": "10.9.9.9"})
        assert ENGINE.rank_environment(theirs, "10.0.0.2") == {}


class TestHelp:
    def test_all_flags_are_asked_for_first_and_plainly_where_that_is_unknown(self):
        assert ENGINE.help_commands(server()) == [
            ["vllm", "serve", "--help=all"],
            ["vllm", "serve", "--help"],
        ]
        start = ["/o/python3", "-m", "vllm.entrypoints.openai.api_server"]
        commands = ENGINE.help_commands(server(executable="/o/python3"))
        assert commands == [[*start, "--help=all"], [*start, "--help"]]

    def test_a_help_that_lists_only_groups_is_no_list_of_flags(self):
        groups = (
            "usage: vllm serve [model_tag] [options]\n\noptions:\n  --host HOST\n  --port PORT\n"
        )
        assert ENGINE.read_help(groups) is None

    def test_an_underscore_is_a_dash_to_it(self):
        listed = "".join(f"  --{name} X\n" for name in sorted(ENGINE.help_lists))
        assert ENGINE.read_help(listed).name_fault("max_num_seqs") is None
