import pytest

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
