"""The flags that an engine knows, read from what its ``--help`` prints.

Only what the engine is certain to refuse is called wrong: it has the last word on all else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from autotuner.spec.server import Value

__all__ = ["FlagHelp", "normal_name", "read_flag_help", "value_text"]

# argparse indents its list of options by two; what it says of one stands further right.
_OPTION_LINE = re.compile(r"^ {2}(-\S.*)$", re.MULTILINE)
_OPTION = re.compile(r"(?:^|, )(--?[A-Za-z0-9][\w.-]*)(?=[ ,\[]|$)")
_REMARK = re.compile(r" {2,}")
_ONE_OF = re.compile(r"\[?\{([^{}\s]+)\}\]?")
_MENTIONED = re.compile(r"(?<![\w-])--[A-Za-z0-9](?:[\w.-]*\w)?")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What argparse's converters take as none given, whatever the list of values says.
_NOTHING = frozenset({"", "none", "null"})


def normal_name(flag: str) -> str:
    """The flag without leading dashes and with ``_`` read as ``-``."""
    return flag.lstrip("-").replace("_", "-")


def value_text(value: Value) -> str:
    """The value as an argument on the command line."""
    return repr(value) if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class FlagHelp:
    """What an engine's ``--help`` says of its flags. Names are without dashes."""

    long: frozenset[str]
    """Flags of two dashes."""
    short: Mapping[str, str]
    """Flags of one dash -> the long name of the same flag."""
    choices: Mapping[str, tuple[str, ...]]
    """Long name -> the values that it takes, where they are listed."""
    mentioned: frozenset[str]
    """Long names anywhere in the text: a flag may be known and not be listed."""
    spelled: Mapping[str, str]
    """Long name -> how the help spells it, ``_`` and ``-`` told apart."""
    exact: bool = False
    """Whether the engine takes no other spelling."""

    def lists(self, names: Collection[str]) -> bool:
        """Whether all of these are among the flags: a short help lists only some."""
        return self.mentioned.issuperset(names)

    def name_fault(self, flag: str) -> str | None:
        """What is wrong with the name of a flag, as words for the user.

        None also for what the engine may know all the same: an abbreviation, a key of a flag that
        takes JSON (``compilation-config.mode``), anything with one dash.
        """
        if flag.startswith("-") and not flag.startswith("--"):
            return None  # -O3 is -O with its value
        name, dot, key = normal_name(flag).partition(".")
        if name in self.mentioned:
            given, spelled = flag.lstrip("-").partition(".")[0], self.spelled.get(name)
            if not self.exact or spelled is None or given == spelled:
                return None
            return f"has no flag --{given}; did you mean `{spelled}{dot}{key}`?"
        meant = self.short.get(name)  # `tp`, which is one dash short of -tp
        if meant is None and any(known.startswith(name) for known in self.long):
            return None
        near = meant or _nearest(name, self.long)
        unknown = f"has no flag --{normal_name(flag)}"
        return f"{unknown}; did you mean `{near}{dot}{key}`?" if near else unknown

    def value_fault(self, flag: str, value: Value) -> str | None:
        """What is wrong with a flag's value, where the help lists those that it takes."""
        choices = self.choices.get(normal_name(flag))
        if choices is None or value is None or isinstance(value, bool):
            return None
        text = value_text(value)
        if text.lower() in _NOTHING or any(_same(text, choice) for choice in choices):
            return None
        near = _nearest(text, choices)
        hint = f"did you mean `{near}`?" if near else f"it takes {', '.join(choices)}"
        return f"does not take {text} for --{normal_name(flag)}; {hint}"


def read_flag_help(text: str, *, exact: bool = False) -> FlagHelp:
    """The flags of a help text as argparse prints it; none of any other text.

    Args:
        exact: Whether ``--a_b`` is another flag than ``--a-b`` to the engine.
    """
    plain = _COLOUR.sub("", text)
    long: set[str] = set()
    short: dict[str, str] = {}
    choices: dict[str, tuple[str, ...]] = {}
    spelled: dict[str, str] = {}
    for line in _OPTION_LINE.findall(plain):
        shown = _REMARK.split(line, maxsplit=1)[0]
        found = list(_OPTION.finditer(shown))
        names = [normal_name(match[1]) for match in found if match[1].startswith("--")]
        long.update(names)
        spelled |= {normal_name(m[1]): m[1].lstrip("-") for m in found if m[1].startswith("--")}
        if names:
            short |= {normal_name(m[1]): names[0] for m in found if not m[1].startswith("--")}
        # From Python 3.13 on, only the last of several spellings shows what it takes.
        after = shown[found[-1].end() :].strip() if found else ""
        if (listed := _ONE_OF.fullmatch(after)) is not None:
            choices.update((name, tuple(listed[1].split(","))) for name in names)
    mentioned = {normal_name(name) for name in _MENTIONED.findall(plain)}
    all_names = frozenset(mentioned | long)
    return FlagHelp(frozenset(long), short, choices, all_names, spelled, exact)


def _nearest(word: str, options: Collection[str]) -> str | None:
    found = get_close_matches(word, sorted(options), n=1)
    return found[0] if found else None


def _same(text: str, choice: str) -> bool:
    """Whether a converter may make the one of the other: a number, or another case of a word."""
    if text.lower() == choice.lower():
        return True
    try:
        return float(text) == float(choice)
    except ValueError:
        return False
