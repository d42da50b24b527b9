"""The real AIConfigurator, where an environment has it; without network, with bundled models."""

import importlib.util
import os
from pathlib import Path

import pytest

from autotuner.search.estimators.aiconfigurator import PYTHON_VARIABLE, AiConfigurator
from autotuner.search.estimators.base import Estimate, Load, Subject, Unknown

ENVIRONMENT = Path(__file__).parents[2] / ".venvs" / "aiconfigurator" / "bin" / "python"


@pytest.fixture(scope="module")
def estimator():
    python = os.environ.get(PYTHON_VARIABLE) or (str(ENVIRONMENT) if ENVIRONMENT.exists() else None)
    if python is None and importlib.util.find_spec("aiconfigurator") is None:
        pytest.skip(f"no AIConfigurator: pip install it, or set {PYTHON_VARIABLE}")
    made = AiConfigurator(python)
    yield made
    made.close()


def subject(model="deepseek-ai/DeepSeek-R1", tensor=8, **others):
    return Subject("sglang", model, "NVIDIA H200", tensor, tensor, expert_group=tensor, **others)


def test_a_bundled_model_is_estimated(estimator):
    said = estimator.estimate(subject(), Load(1024, 1024, 32))
    assert isinstance(said, Estimate)
    assert 0.005 < said.tpot_s < 0.1
    life_s = said.ttft_s + 1023 * said.tpot_s
    assert said.output_throughput_tok_s == pytest.approx(32 * 1024 / life_s, rel=0.1)


def test_a_model_that_it_would_download_is_unknown(estimator):
    said = estimator.estimate(subject("nobody/Nothing-7B"), Load(1024, 1024, 32))
    assert isinstance(said, Unknown)
    assert "would download it" in said.reason


def test_a_layout_that_it_refuses_is_unknown(estimator):
    said = estimator.estimate(subject(tensor=3), Load(1024, 1024, 32))
    assert isinstance(said, Unknown)
    assert said.reason.startswith("AIConfigurator: ")
