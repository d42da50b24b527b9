"""The engine and the model of a study file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autotuner.spec.server import Model

if TYPE_CHECKING:
    from .conftest import StudyWriter


def test_flags_keep_their_types_and_spelling(study: StudyWriter) -> None:
    engine = study.load(
        engine="engine: {name: vllm, flags: {a: 1, b: 0.5, c: true, d: null, e: '8', f_g: x}}"
    ).engine
    assert engine.flags == {"a": 1, "b": 0.5, "c": True, "d": None, "e": "8", "f_g": "x"}
    assert engine.flags["c"] is True


def test_flags_are_checked_unless_the_study_says_otherwise(study: StudyWriter) -> None:
    assert study.load().engine.check_flags
    unchecked = study.load(engine="engine: {name: vllm, check_flags: false}")
    assert not unchecked.engine.check_flags
    problem = study.problem(engine="engine: {name: vllm, check_flags: 'no'}")
    assert problem.key == "engine.check_flags"
    assert "write true or false" in problem.fix


def test_environment_values_become_text_as_they_are_spelled(study: StudyWriter) -> None:
    engine = study.load(
        engine="engine: {name: vllm, environment: {A: 1, B: yes, C: 1.50, D: '01', E: true}}"
    ).engine
    assert engine.environment == {"A": "1", "B": "yes", "C": "1.50", "D": "01", "E": "true"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("python3", "python3"),
        ("bin/python", "{folder}/bin/python"),
        ("./python", "{folder}/python"),
        ("../venv/bin/python", "{parent}/venv/bin/python"),
        ("/opt/python", "/opt/python"),
        ("~/python", "{home}/python"),
    ],
)
def test_an_executable_with_a_slash_is_a_path_and_a_bare_name_is_not(
    study: StudyWriter, monkeypatch: pytest.MonkeyPatch, written: str, meant: str
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    engine = study.load(engine=f"engine: {{name: vllm, executable: {written}}}").engine
    assert engine.executable == meant.format(
        folder=study.folder, parent=study.folder.parent, home="/home/somebody"
    )


def test_symbolic_links_stay_as_they_are(study: StudyWriter) -> None:
    target = study.folder / "system-python"
    target.write_text("")
    (study.folder / "python").symlink_to(target)
    engine = study.load(engine="engine: {name: vllm, executable: ./python}").engine
    assert engine.executable == str(study.folder / "python")


@pytest.mark.parametrize(
    ("engine", "key", "words"),
    [
        ("vllm", "engine", "`engine: {name: vllm}`"),
        ("[vllm]", "engine", "mapping"),
        ("{}", "engine.name", "missing"),
        ("{name: 3}", "engine.name", "in quotes"),
        ('{name: ""}', "engine.name", "empty"),
        ("{name: vlm}", "engine.name", "did you mean `vllm`"),
        ("{name: zzzzzz}", "engine.name", "allowed: vllm, sglang, custom, sim"),
        ("{name: vllm, flags: {tp: '2'}}", "engine.flags.tp", "without quotes"),
        ("{name: sglang, flags: {dp_size: 0}}", "engine.flags.dp_size", "at least 1"),
        ("{nmae: vllm, name: vllm}", "engine.nmae", "`name`"),
        ("{name: vllm, env: {A: 1}}", "engine.env", "`environment`"),
        ("{name: vllm, flags: {--dtype: x}}", "engine.flags.--dtype", "`dtype`"),
        ("{name: vllm, flags: {a b: x}}", "engine.flags.a b", "no flag's name"),
        ("{name: vllm, flags: {a: [1]}}", "engine.flags.a", "JSON text in quotes"),
        ("{name: vllm, flags: {a: {b: 1}}}", "engine.flags.a", "JSON text in quotes"),
        ("{name: vllm, flags: {env.A: 1}}", "engine.flags.env.A", "engine.environment"),
        ("{name: vllm, flags: [a]}", "engine.flags", "mapping"),
        ("{name: vllm, environment: {A: null}}", "engine.environment.A", '""'),
        ("{name: vllm, environment: {A: [1]}}", "engine.environment.A", "text"),
        ("{name: vllm, environment: {A-B: 1}}", "engine.environment.A-B", "no environment"),
        ("{name: vllm, command: [x, '{port}']}", "engine.command", "`custom`"),
        ("{name: custom}", "engine.command", "needs one"),
        ("{name: custom, command: []}", "engine.command", "needs one"),
        ("{name: custom, command: python serve.py}", "engine.command", "list of words"),
        ("{name: custom, command: [serve]}", "engine.command", '"{port}"'),
        ("{name: custom, command: [serve, '{port}', '{modl}']}", "engine.command", "{model}"),
        ("{name: custom, command: [serve, {port}]}", "engine.command[1]", '"{port}"'),
        ("{name: custom, command: [serve, '{port}', 8]}", "engine.command[2]", "in quotes"),
        (
            "{name: custom, executable: a, command: [serve, '{port}']}",
            "engine.executable",
            "first word",
        ),
    ],
)
def test_a_wrong_engine_is_explained(study: StudyWriter, engine: str, key: str, words: str) -> None:
    problem = study.problem(engine=f"engine: {engine}")
    assert (problem.key, problem.line) == (key, 2)
    assert words in problem.fix


def test_flags_of_a_custom_engine_may_mean_anything(study: StudyWriter) -> None:
    engine = "engine: {name: custom, command: [serve, '{port}'], flags: {tp: auto}}"
    assert study.load(engine=engine).engine.flags == {"tp": "auto"}


def test_the_command_of_a_custom_engine_keeps_braces_that_are_no_placeholders(
    study: StudyWriter,
) -> None:
    engine = "engine: {name: custom, command: [a/serve, '{port}', '{model}', '{\"a\": {id}}']}"
    command = study.load(engine=engine).engine.command
    assert command == (str(study.folder / "a" / "serve"), "{port}", "{model}", '{"a": {id}}')


@pytest.mark.parametrize(
    ("engine", "flag"),
    [
        *(("vllm", flag) for flag in ("host", "port", "model", "served-model-name", "api-key")),
        *(("vllm", flag) for flag in ("served_model_name", "api_key", "--port")),
        ("sglang", "model-path"),
        ("sglang", "model_path"),
    ],
)
@pytest.mark.parametrize("place", ["flags", "parameters"])
def test_flags_that_autotuner_sets_itself_are_refused_with_the_reason(
    study: StudyWriter, engine: str, flag: str, place: str
) -> None:
    if place == "flags":
        sections = {"engine": f"engine: {{name: {engine}, flags: {{{flag}: secret-value}}}}"}
    else:
        sections = {
            "engine": f"engine: {{name: {engine}}}",
            "parameters": f"parameters: {{{flag}: [secret-value]}}",
        }
    problem = study.problem(**sections)
    assert problem.key.endswith(flag)
    assert "autotuner sets" in problem.fix or "engine.environment" in problem.fix
    assert "secret-value" not in str(problem)


def test_model_path_is_a_flag_like_any_other_for_other_engines(study: StudyWriter) -> None:
    study.load(engine="engine: {name: sim, flags: {model-path: x}}")


def test_a_model_may_be_a_path_alone_and_is_its_own_tokenizer(study: StudyWriter) -> None:
    assert study.load(model="model: org/model").model == Model("org/model", "org/model")
    model = study.load(model="model: {path: org/model, tokenizer: ./tok}").model
    assert model == Model("org/model", str(study.folder / "tok"))


def test_a_folder_next_to_the_study_file_is_a_path_and_not_a_hub_id(study: StudyWriter) -> None:
    (study.folder / "org" / "model").mkdir(parents=True)
    assert study.load(model="model: org/model").model.path == str(study.folder / "org" / "model")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("/models/x/", "/models/x"),
        ("./x", "{folder}/x"),
        ("../x", "{parent}/x"),
        ("..", "{parent}"),
        ("~/x", "/home/somebody/x"),
        ("org/model.v2", "org/model.v2"),
        ("gpt2", "gpt2"),
    ],
)
def test_what_looks_like_a_path_becomes_absolute_and_a_hub_id_stays(
    study: StudyWriter, monkeypatch: pytest.MonkeyPatch, written: str, meant: str
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    path = study.load(model=f"model: {{path: {written}}}").model.path
    assert path == meant.format(folder=study.folder, parent=study.folder.parent)


def test_relative_paths_do_not_depend_on_the_current_folder(
    study: StudyWriter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(study.folder)
    here = study.load(model="model: ./x").model
    monkeypatch.chdir(tmp_path)
    assert study.load(model="model: ./x").model == here


def test_the_home_of_an_unknown_user_is_reported(study: StudyWriter) -> None:
    problem = study.problem(model="model: ~no-such-user-here/x")
    assert "in full" in problem.fix


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("{tokenizer: x}", "model.path"),
        ("{path: x, tok: y}", "model.tok"),
        ("{path: 3}", "model.path"),
        ("[x]", "model"),
        ('""', "model.path"),
    ],
)
def test_a_wrong_model_is_explained(study: StudyWriter, model: str, key: str) -> None:
    problem = study.problem(model=f"model: {model}")
    assert (problem.key, problem.line) == (key, 3)


def test_the_variable_that_hands_out_devices_is_autotuners(study: StudyWriter) -> None:
    engine = "engine: {name: sim, environment: {CUDA_VISIBLE_DEVICES: '0'}}"
    problem = study.problem(engine=engine)
    assert problem.key == "engine.environment.CUDA_VISIBLE_DEVICES"
    assert "resources.gpus" in problem.fix
