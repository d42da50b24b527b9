"""HTML from values. Text is escaped unless it is `Markup`, so that none can be forgotten."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence

__all__ = ["Content", "Markup", "attributes", "element", "join", "script_json", "table"]

_VOID = frozenset({"br", "input", "meta", "col"})


class Markup(str):
    """HTML that is safe to put into a page as it is."""

    __slots__ = ()


Content = Markup | str | int | None
"""What an element may hold: HTML, or text of any origin; None is nothing."""


def element(tag: str, *content: Content, **named: object) -> Markup:
    """An element. Attributes: ``class_`` is ``class``, ``aria_label`` is ``aria-label``.

    An attribute that is None or False is left out; one that is True stands without a value.
    """
    opening = f"<{tag}{attributes(named)}>"
    return Markup(opening if tag in _VOID else f"{opening}{join(content)}</{tag}>")


def attributes(named: dict[str, object]) -> str:
    """Attributes of an element, each with a space before it."""
    words = []
    for name, value in named.items():
        if value is None or value is False:
            continue
        spelled = name.rstrip("_").replace("_", "-")
        words.append(spelled if value is True else f'{spelled}="{html.escape(str(value))}"')
    return "".join(f" {word}" for word in words)


def join(content: Iterable[Content]) -> Markup:
    """Pieces one after the other, text escaped."""
    return Markup("".join(_safe(piece) for piece in content))


def table(
    headings: Sequence[Content], rows: Iterable[Sequence[Content]], *, caption: str
) -> Markup:
    """A plain table; the first cell of a row is its heading."""
    head = element("tr", *(element("th", heading, scope="col") for heading in headings))
    body = (
        element(
            "tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])
        )
        for row in rows
    )
    whole = element(
        "table",
        element("caption", caption),
        element("thead", head),
        element("tbody", *body),
    )
    # What is wider than the screen is scrolled by itself, by keyboard too.
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def script_json(value: object) -> Markup:
    """JSON for a script element: no text in it can end the element.

    Raises:
        ValueError: for a number that is not finite.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _safe(piece: Content) -> str:
    if piece is None:
        return ""
    return piece if isinstance(piece, Markup) else html.escape(str(piece))
