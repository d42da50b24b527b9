import pytest

from autotuner.engines.base import Rank
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


class TestRanks:
    def words(self, number=0, **flags):
        model = Model("/models/m", "/models/m")
        config = ServerConfig("sglang", model, flags)
        rank = Rank(number, 2, "10.0.0.1", 2345)
        return ENGINE.rank_command(config, rank, host="127.0.0.1", port=8000, served_name="mine")

    def test_each_rank_is_told_its_number_and_where_the_first_is(self):
        place = ["--nnodes", "2", "--node-rank", "1", "--dist-init-addr", "10.0.0.1:2345"]
        assert self.words(1, **{"tp-size": 16})[-6:] == place
        assert self.words()[-4:-2] == ["--node-rank", "0"]

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            ({"use-ray": True}, "Ray would ask the cluster for GPUs"),
            ({"dp-size": 2}, "only with enable-dp-attention"),
            ({"dist_init_addr": "a:1"}, "worked out for each node"),
            ({"nnodes": 2}, "worked out for each node"),
        ],
    )
    def test_what_cannot_span_nodes_is_refused_with_the_flag_and_the_reason(self, flags, said):
        with pytest.raises(PlanError, match=rf"{next(iter(flags))} = .*{said}"):
            self.words(**flags)

    def test_attention_in_parallel_may_span_nodes(self):
        assert self.words(**{"dp-size": 2, "tp-size": 4, "enable-dp-attention": True})

    def test_each_rank_binds_to_the_address_that_the_cluster_knows_unless_told_otherwise(self):
        model = Model("/models/m", "/models/m")
        plain = ServerConfig("sglang", model, {})
        assert ENGINE.rank_environment(plain, "10.0.0.2") == {"SGLANG_HOST_IP": "10.0.0.2"}
        theirs = ServerConfig("sglang", model, {}, {"SGLANG_HOST_IP": "10.9.9.9"})
        assert ENGINE.rank_environment(theirs, "10.0.0.2") == {}


def test_the_help_is_that_of_the_module_or_of_the_program():
    model = Model("/models/m", "/models/m")
    plain, named = (ServerConfig("sglang", model, {}, executable=e) for e in (None, "/o/sglang"))
    assert ENGINE.help_commands(plain) == [["python3", "-m", "sglang.launch_server", "--help"]]
    assert ENGINE.help_commands(named) == [["/o/sglang", "serve", "--help"]]


def test_an_underscore_is_no_dash_to_it():
    listed = "".join(f"  --{name} X\n" for name in sorted(ENGINE.help_lists))
    known = ENGINE.read_help(listed)
    assert known.name_fault("mem-fraction-static") is None
    assert "did you mean `mem-fraction-static`?" in known.name_fault("mem_fraction_static")
