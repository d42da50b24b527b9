"""Flags read from a help text, and which of a study's are certain to be refused."""

from __future__ import annotations

import argparse

import pytest

from autotuner.engines.flag_help import FlagHelp, read_flag_help

# As argparse writes it, before Python 3.13 and from then on.
OLDER = """\
usage: serve [-h] [--host HOST]

options:
  -h, --help            show this help message and exit
  --host HOST           Host name. Replaces --bind.
  --block-size {8,16}   Tokens in a block.
  --cache, --no-cache   Whether to cache. (default: True)
  --cache-dtype {auto,fp8,fp8_e5m2,None}
                        Type of the cache.
                        - auto: that of the model
  --levels {a,b} [{a,b} ...]
                        Several.
  --memory FRACTION, --device-memory FRACTION
  --mode ['fast', 'safe']
                        Or the name of a plugin.
  --parser {one,two} or the name of a plugin
  --tensor-parallel-size N, -tp N
                        GPUs.
  -O {0,1}
"""
NEWER = """\
options:
  -h, --help            show this help message and exit
  -tp, --tensor-parallel-size N
  -q, --quantization {awq,gptq}
"""


@pytest.fixture(scope="module")
def known() -> FlagHelp:
    return read_flag_help(OLDER)


@pytest.mark.parametrize(
    "flag",
    [
        "host",
        "cache",
        "no-cache",
        "device-memory",
        "device_memory",
        "--host",
        "tensor-parallel-size",
    ],
)
def test_a_flag_of_the_list_is_right_in_any_spelling(known: FlagHelp, flag: str) -> None:
    assert known.name_fault(flag) is None


@pytest.mark.parametrize(
    ("flag", "why"),
    [
        ("tensor-par", "argparse takes what is short for a flag"),
        ("no-ca", "also of the negative form"),
        ("memory.fraction", "a key of a flag that takes JSON"),
        ("-O3", "a flag of one dash with its value"),
        ("-x", "anything of one dash"),
        ("bind", "a flag that the text only mentions"),
    ],
)
def test_what_may_be_right_passes(known: FlagHelp, flag: str, why: str) -> None:
    assert known.name_fault(flag) is None, why


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("hosts", "has no flag --hosts; did you mean `host`?"),
        ("blocks_size", "has no flag --blocks-size; did you mean `block-size`?"),
        ("enable-everything", "has no flag --enable-everything"),
        ("cache_dtypes.k", "has no flag --cache-dtypes.k; did you mean `cache-dtype.k`?"),
        ("Host", "has no flag --Host; did you mean `host`?"),
    ],
)
def test_an_unknown_flag_is_told_with_what_was_meant(
    known: FlagHelp, flag: str, words: str
) -> None:
    assert known.name_fault(flag) == words


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("block_size", "has no flag --block_size; did you mean `block-size`?"),
        ("cache_dtype.k", "has no flag --cache_dtype; did you mean `cache-dtype.k`?"),
        ("log-level", "has no flag --log-level; did you mean `log_level`?"),
        ("block-size", None),
        ("--block-size", None),
        ("log_level", None),
        ("device_mem", None),
    ],
)
def test_to_an_engine_that_takes_no_other_spelling_it_is_unknown(
    flag: str, words: str | None
) -> None:
    known = read_flag_help(OLDER + "  --log_level LEVEL\n", exact=True)
    assert known.name_fault(flag) == words


def test_a_short_name_with_two_dashes_is_meant_as_its_long_one(known: FlagHelp) -> None:
    assert known.name_fault("tp") == "has no flag --tp; did you mean `tensor-parallel-size`?"


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("cache-dtype", "fp8"),
        ("cache_dtype", "fp8"),
        ("block-size", 16),
        ("block-size", "16"),
        ("block-size", 16.0),
        ("cache-dtype", "FP8"),
        ("cache-dtype", ""),
        ("cache-dtype", "none"),
        ("block-size", True),
        ("block-size", None),
    ],
)
def test_a_value_that_may_be_one_of_those_listed_passes(
    known: FlagHelp, flag: str, value: object
) -> None:
    assert known.value_fault(flag, value) is None


@pytest.mark.parametrize("flag", ["host", "levels", "mode", "parser", "cache-dtype.k", "other"])
def test_where_the_help_lists_no_values_or_not_all_anything_passes(
    known: FlagHelp, flag: str
) -> None:
    assert known.value_fault(flag, "whatever") is None


def test_another_value_than_those_listed_is_told_with_what_was_meant(known: FlagHelp) -> None:
    assert known.value_fault("cache-dtype", "fp8_e5m3") == (
        "does not take fp8_e5m3 for --cache-dtype; did you mean `fp8_e5m2`?"
    )
    assert known.value_fault("block-size", 7) == (
        "does not take 7 for --block-size; it takes 8, 16"
    )


def test_a_help_of_newer_pythons_is_read_too() -> None:
    known = read_flag_help(NEWER)
    assert known.name_fault("tensor-parallel-size") is None
    assert known.name_fault("tp") is not None
    assert known.value_fault("quantization", "awp") is not None


def test_colours_do_not_hide_a_flag() -> None:
    known = read_flag_help("  \x1b[1;32m--host\x1b[0m \x1b[33mHOST\x1b[0m   Name.\n")
    assert known.long == {"host"}


def test_what_is_no_help_lists_nothing() -> None:
    known = read_flag_help("Traceback (most recent call last):\n  File x\nValueError: no device\n")
    assert not known.long
    assert not known.lists({"host"})


def test_every_flag_of_a_parser_is_found_in_its_own_help() -> None:
    """Whatever this Python's argparse prints today."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--plain", type=int)
    parser.add_argument("--long-name-of-a-flag-that-needs-its-own-line", choices=["a", "b"])
    parser.add_argument("-s", "--short", choices=["x-1", "x-2"], help="one, two --three")
    parser.add_argument("--on", action=argparse.BooleanOptionalAction)
    parser.add_argument("--many", nargs="+", choices=["p", "q"])
    known = read_flag_help(parser.format_help())
    assert known.long >= {"plain", "short", "on", "no-on", "many", "help"}
    assert known.value_fault("long-name-of-a-flag-that-needs-its-own-line", "c") is not None
    assert known.value_fault("short", "x-3") is not None
    assert known.value_fault("many", "r") is None
    assert known.name_fault("s") == "has no flag --s; did you mean `short`?"
