import pytest

from autotuner.engines.base import flag_arguments, is_python, parallel_size
from autotuner.errors import PlanError


def test_a_true_flag_stands_alone_and_false_and_null_are_left_out():
    assert flag_arguments({"enforce-eager": True, "a": False, "b": None}) == ["--enforce-eager"]


def test_other_values_follow_their_flag_in_the_given_order():
    flags = {"max-num-seqs": 16, "dtype": "bfloat16", "a": 0}
    assert flag_arguments(flags) == ["--max-num-seqs", "16", "--dtype", "bfloat16", "--a", "0"]


def test_a_value_with_spaces_or_json_stays_one_argument():
    config = '{"method": "ngram", "tokens": 3}'
    assert flag_arguments({"speculative-config": config}) == ["--speculative-config", config]


@pytest.mark.parametrize("value", [0.1, 1e-7, 0.30000000000000004, 1e22])
def test_a_float_is_written_without_loss(value):
    assert float(flag_arguments({"a": value})[1]) == value


@pytest.mark.parametrize(
    ("value", "argument"), [(-1, "--a=-1"), (-0.5, "--a=-0.5"), ("-x", "--a=-x")]
)
def test_a_value_that_looks_like_a_flag_is_tied_to_its_own(value, argument):
    assert flag_arguments({"a": value}) == [argument]


def test_a_name_with_dashes_keeps_them():
    assert flag_arguments({"-tp": 2}) == ["-tp", "2"]


def test_an_absent_or_omitted_size_is_one():
    assert parallel_size({}, "tp") == 1
    assert parallel_size({"tp": None}, "tp") == 1
    assert parallel_size({"tp": False}, "tp") == 1


@pytest.mark.parametrize("name", ["tp-size", "tp_size", "--tp-size"])
def test_a_size_is_found_in_any_spelling(name):
    assert parallel_size({name: 4}, "tp", "tp-size") == 4


@pytest.mark.parametrize("value", ["2", 2.0, 0, -1, True])
def test_a_size_that_is_no_positive_whole_number_is_refused_by_name_and_value(value):
    with pytest.raises(PlanError, match="tp-size = ") as caught:
        parallel_size({"tp-size": value}, "tp-size")
    assert repr(value) in str(caught.value)


def test_one_size_in_two_spellings_is_refused():
    with pytest.raises(PlanError, match="tp and tp-size"):
        parallel_size({"tp": 2, "tp-size": 4}, "tp", "tp-size")


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("python", True),
        ("/opt/vllm/bin/python3.11", True),
        ("vllm", False),
        ("/python/vllm", False),
    ],
)
def test_a_python_is_known_by_its_own_name_only(program, expected):
    assert is_python(program) is expected
