"""Text of any origin stays text."""

from __future__ import annotations

import json

import pytest

from autotuner.report.markup import Markup, element, join, script_json, table

HOSTILE = "</script><script>alert('x')</script>\"&"


def test_text_is_escaped_and_markup_is_not() -> None:
    inner = element("b", "<i>")
    assert inner == "<b>&lt;i&gt;</b>"
    assert element("p", inner, " & ", None, 3) == "<p><b>&lt;i&gt;</b> &amp; 3</p>"


def test_attributes_are_escaped_and_left_out_where_false() -> None:
    made = element("td", "", title='a"><b>', hidden=False, open=True, class_=None, data_v=0)
    assert made == '<td title="a&quot;&gt;&lt;b&gt;" open data-v="0"></td>'


def test_a_joined_text_is_escaped() -> None:
    assert join([HOSTILE]).count("<") == 0


def test_cells_and_headings_and_caption_of_a_table_are_escaped() -> None:
    made = table([HOSTILE], [[HOSTILE, HOSTILE]], caption=HOSTILE)
    assert "<script" not in made
    assert isinstance(made, Markup)


def test_no_text_in_json_can_end_its_script_and_all_of_it_comes_back() -> None:
    value = {"label": HOSTILE, "lines": "a\u2028b\u2029<!--"}
    text = script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_json_has_no_numbers_that_a_browser_cannot_read() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json([float("nan")])
