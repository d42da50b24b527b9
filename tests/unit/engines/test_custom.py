import pytest

from autotuner.engines.base import Rank
from autotuner.engines.custom import CustomEngine
from autotuner.errors import PlanError
from autotuner.spec.server import Model, ServerConfig

ENGINE = CustomEngine()


def command(*template, path="/models/m", executable=None, flags=None):
    model = Model(path, path)
    config = ServerConfig("custom", model, flags or {}, command=template, executable=executable)
    return ENGINE.command(config, host="127.0.0.1", port=8000, served_name="mine")


def test_placeholders_are_filled_in_wherever_they_stand():
    filled = command("serve", "{model}", "--bind={host}:{port}", "--name", "{served_name}")
    assert filled == ["serve", "/models/m", "--bind=127.0.0.1:8000", "--name", "mine"]


def test_other_braces_are_left_alone():
    json = '{"a": {"port": 1}, "b": "{}", "c": "{other}"}'
    assert command("serve", "{port}", json) == ["serve", "8000", json]


def test_a_value_with_braces_is_not_filled_in_again():
    assert command("serve", "{port}", "{model}", path="/m/{port}")[2] == "/m/{port}"


def test_flags_are_appended():
    assert command("s", "{port}", flags={"batch": 4, "fast": True})[2:] == [
        "--batch",
        "4",
        "--fast",
    ]


@pytest.mark.parametrize(
    ("template", "executable"),
    [((), None), (("serve", "--port", "8000"), None), (("serve", "{port}"), "/bin/serve")],
)
def test_a_template_that_could_not_be_measured_is_refused(template, executable):
    with pytest.raises(PlanError):
        command(*template, executable=executable)


def test_the_flags_of_an_unknown_program_say_nothing_of_gpus():
    assert ENGINE.gpus({"tensor-parallel-size": 8}) == 1


SPANNING = ("{rank}/{nodes}", "--at={master_addr}:{master_port}")


def rank_command(*template):
    config = ServerConfig("custom", Model("/models/m", "/models/m"), {}, command=template)
    rank = Rank(1, 3, "10.0.0.1", 2345)
    return ENGINE.rank_command(config, rank, host="127.0.0.1", port=8000, served_name="mine")


def test_a_rank_is_told_its_number_and_where_the_first_is():
    filled = rank_command("serve", "{port}", *SPANNING, "{other}")
    assert filled == ["serve", "8000", "1/3", "--at=10.0.0.1:2345", "{other}"]


@pytest.mark.parametrize("missing", ["{rank}", "{nodes}", "{master_addr}", "{master_port}"])
def test_a_template_that_would_start_every_rank_alike_is_refused(missing):
    template = [argument.replace(missing, "x") for argument in SPANNING]
    with pytest.raises(PlanError, match=rf"holds \{missing}.*resources\.gpus_per_node"):
        rank_command("serve", "{port}", *template)


def test_on_one_node_the_braces_of_ranks_mean_nothing():
    assert command("s", "{port}", "{rank}")[2] == "{rank}"


def test_nothing_is_known_of_its_flags():
    config = ServerConfig("custom", Model("/m", "/m"), {}, command=("serve", "{port}"))
    assert ENGINE.help_commands(config) == ()
