import json
import sys

import pytest
from model_facts import config_of

from autotuner.errors import PlanError
from autotuner.search.estimators import aiconfigurator
from autotuner.search.estimators.aiconfigurator import PYTHON_VARIABLE, AiConfigurator
from autotuner.search.estimators.base import Estimate, Load, Subject, Unknown

LIBRARY = """
def cli_estimate(**question):
    print("chatter on standard output")
    if question["tp_size"] == 64:
        raise ValueError("no such layout: " + "x" * 1000)
    if question["tp_size"] == 32:
        raise SystemExit(7)
    if question["tp_size"] == 16:
        import os
        os._exit(9)
    open(LOG, "a").write(repr(sorted(question.items())) + "\\n")
    class Found:
        ttft, tpot = 100.0 * question["batch_size"], 10.0
        tokens_per_second = 1000.0 / question["tp_size"]
    return Found
"""


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A stand-in for the library, and what it was asked; the worker and its pipes are real."""
    log = tmp_path / "asked"
    log.touch()
    package = tmp_path / "site" / "aiconfigurator" / "cli"
    configs = tmp_path / "site" / "aiconfigurator_core" / "model_configs"
    for folder in (package, configs):
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "api.py").write_text(f"LOG = {str(log)!r}\n{LIBRARY}")
    (configs / "meta-llama--Llama_config.json").write_text("{}")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path / "site"} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv(PYTHON_VARIABLE, str(python))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    return lambda: [dict(eval(line)) for line in log.read_text().splitlines()]  # noqa: S307


@pytest.fixture
def estimator(asked):
    made = AiConfigurator()
    yield made
    made.close()


def subject(model="meta-llama/Llama", engine="vllm", gpu="NVIDIA H200", tensor=2, data=1, **others):
    return Subject(engine, model, gpu, tensor * data, tensor, data_parallel=data, **others)


LOAD = Load(1000, 100, 8)


def test_its_numbers_become_an_estimate(estimator):
    said = estimator.estimate(subject(), LOAD)
    assert isinstance(said, Estimate)
    assert (said.ttft_s, said.tpot_s, said.output_throughput_tok_s) == (0.8, 0.01, 500.0)
    assert said.ttft_sigma > said.tpot_sigma


def test_it_is_asked_once_for_each_layout_and_load(estimator, asked):
    for _ in range(3):
        estimator.estimate(subject(flags={"block-size": 16}), LOAD)
        estimator.estimate(subject(flags={"block-size": 32}), LOAD)
    estimator.estimate(subject(), Load(1000, 100, 16))
    assert len(asked()) == 2


def test_replicas_of_a_dense_model_are_servers_with_their_share_of_the_load(estimator, asked):
    said = estimator.estimate(subject(data=4), LOAD)
    assert (asked()[0]["batch_size"], asked()[0]["attention_dp_size"]) == (2, 1)
    assert said.output_throughput_tok_s == 4 * 500.0


def test_replicas_that_share_experts_are_one_server(estimator, asked):
    estimator.estimate(subject(data=4, expert_parallel=8, expert_group=8), LOAD)
    (question,) = asked()
    assert (question["attention_dp_size"], question["batch_size"]) == (4, 2)
    assert (question["moe_tp_size"], question["moe_ep_size"]) == (1, 8)


def test_a_format_is_named_only_where_it_is_not_the_models_own(
    estimator, asked, tmp_path, write_model
):
    config = config_of("llama-3.1-8b") | {"quantization_config": {"quant_method": "fp8"}}
    model = str(write_model(tmp_path / "model", config))
    estimator.estimate(subject(model, weights="fp8", kv_cache="fp8"), LOAD)
    estimator.estimate(subject(model, weights="fp4"), LOAD)
    own, other = asked()
    assert "gemm_quant_mode" not in own
    assert own["kvcache_quant_mode"] == "fp8"
    assert other["gemm_quant_mode"] == other["moe_quant_mode"] == "nvfp4"
    assert own["model_path"] == model


def test_the_own_format_of_a_bundled_model_is_left_to_the_library(estimator, asked, tmp_path):
    config = {"quantization_config": {"quant_method": "mxfp4"}}
    folder = tmp_path / "site" / "aiconfigurator_core" / "model_configs"
    (folder / "openai--gpt-oss_config.json").write_text(json.dumps(config))
    for weights in ("fp4", "fp8"):
        estimator.estimate(subject("openai/gpt-oss", weights=weights), LOAD)
    own, other = asked()
    assert "gemm_quant_mode" not in own
    assert "moe_quant_mode" not in own
    assert other["gemm_quant_mode"] == "fp8"


@pytest.mark.parametrize(
    ("of", "reason"),
    [
        ({"model": "mine/Model"}, "would download it"),
        ({"gpu": None}, "GPUs' model is not known"),
        ({"gpu": "MI300X"}, "no tables of the GPU 'MI300X'"),
        ({"engine": "sim"}, "no engine 'sim'"),
        ({"tensor": 64}, "ValueError: no such layout"),
        ({"tensor": 32}, "SystemExit: 7"),
        ({"tensor": 16}, "ended with status 9"),
    ],
)
def test_what_it_cannot_tell_is_unknown_in_its_own_words_shortened(estimator, of, reason):
    said = estimator.estimate(subject(**of), LOAD)
    assert isinstance(said, Unknown)
    assert reason in said.reason
    assert len(said.reason) < 250


def test_after_its_process_has_died_the_next_question_is_answered(estimator):
    estimator.estimate(subject(tensor=16), LOAD)
    assert isinstance(estimator.estimate(subject(), LOAD), Estimate)


def test_a_python_that_does_not_start_is_named(asked):
    broken = AiConfigurator("/no/such/python")
    said = broken.estimate(subject(), LOAD)
    assert "/no/such/python" in said.reason


def test_where_it_is_not_installed_it_says_how_to_install_it(monkeypatch):
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(aiconfigurator, "_is_installed", lambda: False)
    with pytest.raises(PlanError, match=r"pip install 'autotuner\[aiconfigurator\]'"):
        AiConfigurator()


def test_its_process_ends_with_its_standard_input(asked):
    made = AiConfigurator()
    made.estimate(subject(), LOAD)
    worker = made._worker
    worker.stdin.close()
    assert worker.wait(timeout=60) == 0
    made.close()
