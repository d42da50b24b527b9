"""The table of all configurations, and the controls that filter it and the charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autotuner.report.markup import Content, Markup, element, join
from autotuner.report.subject import Configuration, Subject
from autotuner.report.wording import MISSING, quantity, signed_percent
from autotuner.spec.server import is_number

__all__ = ["configurations_section", "filter_bar"]

_REASON_CHARS = 80


@dataclass(frozen=True, slots=True)
class _Cell:
    text: Content
    sort_key: float | str | None
    """None sorts last, whatever the direction."""
    is_number: bool = False


def filter_bar(subject: Subject) -> Markup:
    """Search, status and one choice per parameter; the page's script brings it to life."""
    statuses = list(dict.fromkeys(c.status_word for c in subject.configurations))
    choices = [_choice("filter-status", "status", statuses)]
    choices += [
        _choice(f"filter-{number}", name, [subject.spelled(v) for v in values], parameter=number)
        for number, (name, values) in enumerate(subject.varied.items())
    ]
    return element(
        "form",
        element(
            "label",
            "search ",
            element("input", type="search", id="filter-text", autocomplete="off"),
        ),
        *choices,
        element("button", "show all", type="reset"),
        element("output", "", id="filter-count", role="status", aria_live="polite"),
        id="filters",
        role="search",
        aria_label="Filter configurations in charts and table",
    )


def _choice(id_: str, name: str, values: Sequence[str], parameter: int | None = None) -> Markup:
    return element(
        "label",
        f"{name} ",
        element(
            "select",
            element("option", "all", value=""),
            # By number, since a value may be the empty text.
            *(element("option", v, value=str(n)) for n, v in enumerate(values)),
            id=id_,
            data_parameter=parameter,
        ),
    )


def configurations_section(subject: Subject) -> Markup:
    """The table, one row per experiment of the plan, in the order of the ranking."""
    head = (
        element(
            "th",
            element("button", heading, type="button", data_column=number),
            scope="col",
            class_="n" if is_number else None,
            aria_sort="none" if number else "ascending",
        )
        for number, (heading, is_number) in enumerate(_columns(subject))
    )
    body = (_row(subject, c) for c in subject.configurations)
    whole = element(
        "table",
        element(
            "caption",
            f"Scores in {subject.ranking.unit}, also of those that cannot win; TTFT and TPOT are "
            "medians at the level of the score.",
        ),
        element("thead", element("tr", *head, element("th", "more", scope="col"))),
        element("tbody", *body),
        id="configurations",
    )
    return join(
        [
            element(
                "div",
                whole,
                class_="scroll tall",
                tabindex="0",
                role="region",
                aria_label="All configurations",
            ),
            element("p", "", id="print-note", class_="fine"),
        ]
    )


def _columns(subject: Subject) -> list[tuple[str, bool]]:
    """Headings, and whether the cells below are numbers; in the order of `_cells`."""
    parameters = [
        (name, all(value is None or is_number(value) for value in values))
        for name, values in subject.varied.items()
    ]
    return [
        ("rank", True),
        *(parameters or [("configuration", False)]),
        ("score", True),
        ("vs baseline", True),
        ("TTFT", True),
        ("TPOT", True),
        ("servers", True),
        ("status", False),
    ]


def _row(subject: Subject, configuration: Configuration) -> Markup:
    cells = _cells(subject, configuration)
    details = element(
        "button",
        "details",
        type="button",
        aria_expanded="false",
        aria_label=f"details of {_short_name(configuration)}",
    )
    return element(
        "tr",
        *(
            element(
                "td",
                cell.text,
                class_="n" if cell.is_number else None,
                data_v="" if cell.sort_key is None else cell.sort_key,
            )
            for cell in cells
        ),
        element("td", details),
        data_index=configuration.index,
        class_=configuration.standing or ("baseline" if configuration.is_baseline else None),
    )


def _short_name(configuration: Configuration) -> str:
    rank = configuration.entry.rank
    return f"rank {rank}" if rank is not None else f"experiment {configuration.id}"


def _cells(subject: Subject, c: Configuration) -> list[_Cell]:
    rank = c.entry.rank
    parameters = [_parameter(subject, c, name) for name in subject.varied]
    if not parameters:
        parameters = [_Cell(c.label, c.label)]
    return [
        _Cell(str(rank or MISSING), rank, is_number=True),
        *parameters,
        _score(c.entry.score.value, subject.ranking.unit),
        _Cell(signed_percent(c.entry.vs_baseline), c.entry.vs_baseline, is_number=True),
        _number(c.number("ttft_s_p50"), "s"),
        _number(c.number("tpot_s_p50"), "s"),
        _Cell(str(c.entry.servers), c.entry.servers, is_number=True),
        _Cell(_status_text(c), c.status_word),
    ]


def _parameter(subject: Subject, c: Configuration, name: str) -> _Cell:
    value = subject.value_of(c, name)
    text = subject.spelled(value)
    if is_number(value):
        return _Cell(text, value, is_number=True)
    return _Cell(text, None if value is None else text)


def _score(value: float | None, unit: str) -> _Cell:
    # The unit is in the caption; in a thousand cells it is noise.
    return _Cell(quantity(value, unit).removesuffix(f" {unit}"), value, is_number=True)


def _number(value: float | None, unit: str) -> _Cell:
    return _Cell(quantity(value, unit), value, is_number=True)


def _status_text(c: Configuration) -> str:
    words = [c.status_word]
    if c.standing:
        words = [c.standing]
    if c.is_baseline:
        words.append("baseline")
    if c.failure_kind:
        words.append(c.failure_kind.replace("_", " "))
    elif c.entry.score.reason:
        reason = " ".join(c.entry.score.reason.split())
        short = reason if len(reason) <= _REASON_CHARS else reason[:_REASON_CHARS] + "…"
        words.append(short)
    return ", ".join(words)
