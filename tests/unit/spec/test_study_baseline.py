"""The point that all others are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import StudyWriter

ENGINE = "engine: {name: vllm, flags: {dtype: half}}"
PARAMETERS = (
    "parameters: {max-num-seqs: [1, 8], env.FAST: [yes, no], "
    "split: {type: tied, values: [{tp: 1}, {tp: 2}]}}"
)


@pytest.mark.parametrize("text", ["", "baseline:", "baseline: {}"])
def test_the_baseline_is_the_engines_defaults_unless_the_file_says_otherwise(
    study: StudyWriter, text: str
) -> None:
    assert study.load(x=text).baseline == {}


def test_false_means_that_there_is_no_baseline(study: StudyWriter) -> None:
    assert study.load(x="baseline: false").baseline is None


def test_the_baseline_sets_parameters_fixed_flags_and_others(study: StudyWriter) -> None:
    spec = study.load(
        engine=ENGINE,
        parameters=PARAMETERS,
        x="baseline: {max-num-seqs: 3, env.FAST: on, tp: 4, dtype: null, block-size: 16}",
    )
    assert spec.baseline == {
        "max-num-seqs": 3,
        "env.FAST": "on",
        "tp": 4,
        "dtype": None,
        "block-size": 16,
    }


@pytest.mark.parametrize("value", ["true", "default", "3", "[a]"])
def test_a_baseline_is_a_point_or_false(study: StudyWriter, value: str) -> None:
    problem = study.problem(x=f"baseline: {value}")
    assert (problem.key, problem.line) == ("baseline", 6)
    study.load(x=problem.fix.split("`")[1])


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("max_num_seqs: 3", "max_num_seqs", "called `max-num-seqs`"),
        ("block-size: 1, block_size: 1", "block_size", "called `block-size`"),
        ("split: 1", "split", "set theirs: tp"),
        ("--dtype: half", "--dtype", "without leading dashes"),
        ("port: 3", "port", "sets this flag itself"),
        ("env.CUDA_VISIBLE_DEVICES: 3", "env.CUDA_VISIBLE_DEVICES", "resources.gpus"),
        ("max-num-seqs: [3]", "max-num-seqs", "a single value"),
        ("max-num-seqs: {a: 3}", "max-num-seqs", "a flag takes text"),
        ("tp: 0", "tp", "parallel size"),
    ],
)
def test_a_wrong_value_of_the_baseline_is_explained(
    study: StudyWriter, text: str, key: str, words: str
) -> None:
    problem = study.problem(engine=ENGINE, parameters=PARAMETERS, x=f"baseline: {{{text}}}")
    assert problem.key == f"baseline.{key}"
    assert words in problem.fix


def test_a_secret_in_the_baseline_is_never_shown(study: StudyWriter) -> None:
    problem = study.problem(x="baseline: {env.API_KEY: [hunter2-hunter2]}")
    assert "hunter2" not in str(problem)
