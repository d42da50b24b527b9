"""The exception tree and the text of a study file's error."""

from __future__ import annotations

import inspect
import re

from autotuner import errors
from autotuner.errors import AutotunerError, StudyFileError, StudyProblem


def test_a_study_file_error_shows_file_line_key_value_and_fix_of_every_problem() -> None:
    error = StudyFileError(
        "study.yaml",
        [
            StudyProblem("workloads[0].stop.seconds", '"60"', "write a number", 7),
            StudyProblem("engin", "vllm", "unknown key; did you mean `engine`?", 2),
        ],
    )
    lines = str(error).splitlines()
    assert lines[0] == "study.yaml: 2 problems"
    assert lines[1] == '  study.yaml:7: workloads[0].stop.seconds = "60": write a number'
    assert lines[2] == "  study.yaml:2: engin = vllm: unknown key; did you mean `engine`?"


def test_a_problem_of_the_whole_file_shows_no_key_and_no_line() -> None:
    error = StudyFileError("gone.yaml", [StudyProblem("", "", "there is no such file")])
    assert str(error) == "gone.yaml: 1 problem\n  gone.yaml: there is no such file"


def test_a_key_without_a_value_shows_no_equals_sign() -> None:
    error = StudyFileError("s.yaml", [StudyProblem("study", "", "this key is missing", 1)])
    assert "s.yaml:1: study: this key is missing" in str(error)


def test_the_problems_stay_readable_as_values() -> None:
    problem = StudyProblem("study", "", "fix", 1)
    assert StudyFileError("s.yaml", [problem]).problems == (problem,)


def _classes() -> dict[str, type]:
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, AutotunerError)
    }


def _drawn_parents() -> dict[str, str | None]:
    """Class -> parent, as the tree in the module's docstring draws them."""
    parents: dict[str, str | None] = {}
    open_branches: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"(?P<branch>[\s│├└─]*)(?P<name>[A-Z]\w*Error)\b", line)
        if match is None or not line.startswith("    "):
            continue
        depth = len(match["branch"])
        open_branches = [entry for entry in open_branches if entry[0] < depth]
        parents[match["name"]] = open_branches[-1][1] if open_branches else None
        open_branches.append((depth, match["name"]))
    return parents


def test_the_tree_in_the_docstring_is_the_actual_one() -> None:
    actual = {
        name: value.__bases__[0].__name__ if value is not AutotunerError else None
        for name, value in _classes().items()
    }
    assert _drawn_parents() == actual


def test_every_exception_is_a_public_name() -> None:
    assert set(_classes()) <= set(errors.__all__)
