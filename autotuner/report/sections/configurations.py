"""The table of all configurations, and the controls that filter it and the charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autotuner.report.markup import Content, Markup, element, join
from autotuner.report.subject import Configuration, Subject
from autotuner.report.wording import MISSING, quantity, signed_percent

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
    headings = ["rank", *subject.varied]
    headings += ["score", "vs baseline", "TTFT p50", "TPOT p50", "servers", "status"]
    if not subject.varied:
        headings.insert(1, "configuration")
    head = (
        element(
            "th",
            element("button", heading, type="button", data_column=number),
            scope="col",
            aria_sort="ascending" if heading == "rank" else "none",
        )
        for number, heading in enumerate(headings)
    )
    body = (_row(subject, c) for c in subject.configurations)
    whole = element(
        "table",
        element(
            "caption",
            f"Scores in {subject.ranking.unit}; TTFT and TPOT at the level of the score.",
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
        _number(c.entry.score.value, subject.ranking.unit),
        _Cell(signed_percent(c.entry.vs_baseline), c.entry.vs_baseline, is_number=True),
        _number(c.number("ttft_s_p50"), "s"),
        _number(c.number("tpot_s_p50"), "s"),
        _Cell(str(c.entry.servers), c.entry.servers, is_number=True),
        _Cell(_status_text(c), c.status_word),
    ]


def _parameter(subject: Subject, c: Configuration, name: str) -> _Cell:
    value = subject.value_of(c, name)
    text = subject.spelled(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _Cell(text, value, is_number=True)
    return _Cell(text, None if value is None else text)


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
