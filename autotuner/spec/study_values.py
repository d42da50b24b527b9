"""The small notations inside a study file: flags, environment, traffic scenarios, CPU sets.

A function named ``..._fault`` returns what is wrong in words for the user, or None.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from autotuner.spec.study_problems import did_you_mean

__all__ = [
    "cpu_numbers",
    "flag_name_fault",
    "flag_value_fault",
    "is_text_scenario",
    "parallel_size_fault",
    "placeholder_fault",
    "scenario_fault",
    "study_name_fault",
    "variable_name_fault",
]

PLACEHOLDERS = ("port", "host", "model", "served_name")
MAX_STUDY_NAME = 64

_STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_FLAG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")

_OWN_FLAGS = {
    "host": "autotuner sets this flag itself; remove it",
    "port": "autotuner sets this flag itself, to a free port of the node; remove it",
    "model": "autotuner sets this flag itself; name the model under `model` at the top level",
    "served-model-name": (
        "autotuner sets this flag itself, so that it knows which server answers; remove it"
    ),
    "api-key": (
        "a secret must not become a flag, which any user of the node can read; "
        "set it through engine.environment"
    ),
}
_OWN_FLAGS_OF_ENGINE = {
    "sglang": {"model-path": _OWN_FLAGS["model"]},
}

# The engines' names of sizes that multiply to a number of GPUs.
_PARALLEL_SIZE = re.compile(r"([a-z]+-)+parallel-size|(tp|pp|dp|pcp)(-size)?")

# Above the largest number of CPUs that a Linux kernel can be built for.
_MAX_CPU = 8191
_CPU_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_TEXT_SCENARIO = re.compile(
    r"(?P<kind>[DU])\((\d+),(\d+)\)|(?P<pair>[NU])\((\d+),(\d+)\)/\((\d+),(\d+)\)|dataset"
)
_OTHER_SCENARIO = re.compile(r"E\(\d+\)|R\(\d+,\d+\)|I\(\d+,\d+(,\d+)?\)|A\(\d+\)")


def study_name_fault(name: str) -> str | None:
    """What is wrong with a study's name, which becomes part of file and container names."""
    if _STUDY_NAME.fullmatch(name) is None:
        return "use letters, digits, - and _, and begin with a letter or a digit"
    if len(name) > MAX_STUDY_NAME:
        return f"use at most {MAX_STUDY_NAME} characters"
    return None


def flag_name_fault(name: str, engine: str | None) -> str | None:
    """What is wrong with the name of a flag of ``engine`` (None: not known)."""
    folded = name.strip("-").replace("_", "-").lower()
    own = _OWN_FLAGS.get(folded) or _OWN_FLAGS_OF_ENGINE.get(engine or "", {}).get(folded)
    if own is not None:
        return own
    if name.startswith("-"):
        return f"write the name without leading dashes: `{name.lstrip('-')}`"
    if _FLAG_NAME.fullmatch(name) is None:
        return "this is no flag's name; use letters, digits, -, _ and ."
    return None


def variable_name_fault(name: str) -> str | None:
    """What is wrong with the name of an environment variable."""
    if _VARIABLE_NAME.fullmatch(name) is None:
        return "this is no environment variable's name; use letters, digits and _"
    if name == "CUDA_VISIBLE_DEVICES":
        return (
            "autotuner sets this to the devices that each experiment has reserved; "
            "remove it, and say how many with resources.gpus"
        )
    return None


def flag_value_fault(value: object) -> str | None:
    """What is wrong with a flag's value, or None."""
    if isinstance(value, dict | list):
        return (
            "a flag takes text, a number, true, false or null; "
            "if the engine wants JSON, write the JSON text in quotes"
        )
    if isinstance(value, str) and "\0" in value:
        return "text for a program cannot contain a NUL character"
    return None


def parallel_size_fault(name: str, value: object, engine: str | None) -> str | None:
    """What is wrong with a flag's value where the flag decides how many GPUs a server takes."""
    if engine == "custom" or _PARALLEL_SIZE.fullmatch(name.replace("_", "-")) is None:
        return None
    if value is None or value is False or isinstance(value, dict | list):
        return None  # left out, or refused as no value of any flag
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        return "a parallel size is a whole number of at least 1, without quotes"
    return None


def placeholder_fault(command: Sequence[str]) -> str | None:
    """What is wrong with the placeholders in the command of a ``custom`` engine."""
    names = [name for word in command for name in _PLACEHOLDER.findall(word)]
    for name in names:
        # Other words in braces may be part of a template that the program itself reads.
        near = did_you_mean(name, PLACEHOLDERS)
        if name not in PLACEHOLDERS and near is not None:
            return f"unknown placeholder {{{name}}}; did you mean {{{near}}}?"
    if "port" not in names:
        return 'the command must contain "{port}", because autotuner chooses the port'
    return None


def scenario_fault(scenario: str) -> str | None:
    """What is wrong with the spelling of a traffic scenario of any task, or None."""
    if scenario.count("(") != scenario.count(")"):
        return 'put the scenario in quotes: inside { } YAML cuts it at its comma: "D(100,100)"'
    match = _TEXT_SCENARIO.fullmatch(scenario)
    if match is None:
        if _OTHER_SCENARIO.fullmatch(scenario):
            return None
        return (
            "unknown scenario; write D(input,output), N(mean,stddev)/(mean,stddev), "
            "U(min,max)/(min,max), U(max,max) or dataset, with whole numbers of tokens"
        )
    numbers = [int(number) for number in re.findall(r"\d+", scenario)]
    if match["pair"] == "U" and (numbers[0] > numbers[1] or numbers[2] > numbers[3]):
        return "the minimum is above the maximum; write U(min,max)/(min,max)"
    counts = numbers[::2] if match["pair"] == "N" else numbers
    if 0 in counts:
        return "write at least 1 token of input and 1 of output"
    return None


def is_text_scenario(scenario: str) -> bool:
    """True for a scenario of the task ``text-to-text``."""
    return _TEXT_SCENARIO.fullmatch(scenario) is not None


def cpu_numbers(items: Sequence[int | str]) -> tuple[int, ...]:
    """CPU numbers in order, from numbers, ranges and lists of them such as ``"0-3,8"``.

    Raises:
        ValueError: with the fix as its text.
    """
    cpus: list[int] = []
    for item in items:
        for part in str(item).split(","):
            match = _CPU_RANGE.fullmatch(part.strip())
            if match is None:
                raise ValueError(
                    f'`{part}` is not a CPU number or range; write "0-3,8", [0, 1] or 5'
                )
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first:
                raise ValueError(f"the range {part} runs backwards; write {last}-{first}")
            if last > _MAX_CPU:
                raise ValueError(
                    f"there is no CPU {last}; numbers start at 0 and end at {_MAX_CPU}"
                )
            cpus += range(first, last + 1)
    repeated = sorted({cpu for cpu in cpus if cpus.count(cpu) > 1})
    if repeated:
        raise ValueError(f"CPU {repeated[0]} stands here twice; name each once")
    return tuple(sorted(cpus))
