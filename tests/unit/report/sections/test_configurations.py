"""The table of all configurations and the controls that filter it."""

from __future__ import annotations

import re

from autotuner.report.sections.configurations import configurations_section, filter_bar
from autotuner.report.subject import Subject


def test_every_parameter_that_varies_has_a_choice_with_its_values(subject: Subject) -> None:
    bar = filter_bar(subject)
    for number, (name, values) in enumerate(subject.varied.items()):
        (select,) = re.findall(rf'<label>{name} <select id="filter-{number}".*?</select>', bar)
        assert select.count("<option") == len(values) + 1


def test_every_control_has_a_label(subject: Subject) -> None:
    bar = filter_bar(subject)
    controls = bar.count("<select") + bar.count("<input")
    assert controls == bar.count("<label>")


def test_headings_are_buttons_and_say_how_the_table_is_sorted(subject: Subject) -> None:
    text = configurations_section(subject)
    headings = re.findall(r'<th scope="col"[^>]*aria-sort="(\w+)"><button type="button"', text)
    assert headings == ["ascending", *["none"] * (len(subject.varied) + 6)]


def test_cells_are_sorted_by_numbers_and_missing_ones_have_no_key(subject: Subject) -> None:
    text = configurations_section(subject)
    failed = next(c for c in subject.configurations if c.failure_kind)
    (row,) = re.findall(rf'<tr data-index="{failed.index}".*?</tr>', text)
    assert row.startswith(f'<tr data-index="{failed.index}"><td class="n" data-v="">')
    best = subject.configurations[0]
    assert f'data-v="{best.score}"' in text


def test_status_names_the_kind_of_failure(subject: Subject) -> None:
    text = configurations_section(subject)
    assert "failed, out of memory at load" in text
    assert "leader" in text
    assert "baseline" in text
