"""YAML that parsers of either version read alike."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from autotuner.export.yaml_text import yaml_text


@pytest.mark.parametrize(
    "text",
    ["1e3", "0o17", "0x1f", "12:30", "1_000", "y", "N", "on", "Off", "null", "~", "", ".inf", "8"],
)
def test_what_another_parser_may_take_for_something_else_is_quoted(text: str) -> None:
    assert yaml_text([], {"value": text}) == f'value: "{text}"\n'


@pytest.mark.parametrize("text", ["serve", "--max-num-seqs", "-m", "Qwen/Qwen3-8B", "/dev/shm"])
def test_plain_words_stay_plain(text: str) -> None:
    assert yaml_text([], {"value": text}) == f"value: {text}\n"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_back(text: str) -> None:
    assert yaml.safe_load(yaml_text([], {"value": [text]})) == {"value": [text]}


def test_equal_values_are_written_twice_and_not_as_anchors() -> None:
    shared = {"a": "b"}
    assert "&" not in yaml_text([], {"one": shared, "two": shared})
