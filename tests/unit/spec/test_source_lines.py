"""Every key has its line, and what YAML would twist is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotuner.errors import StudyFileError, StudyProblem
from autotuner.spec.source_lines import Source, dotted, read_source


def read(folder: Path, text: str, name: str = "study.yaml") -> Source:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_source(path)


def refusal(path: Path) -> StudyProblem:
    with pytest.raises(StudyFileError) as caught:
        read_source(path)
    (problem,) = caught.value.problems
    return problem


def refusal_of(folder: Path, text: str, name: str = "study.yaml") -> StudyProblem:
    (folder / name).write_text(text, encoding="utf-8")
    return refusal(folder / name)


def test_keys_and_list_items_have_the_line_they_stand_on(tmp_path: Path) -> None:
    source = read(tmp_path, "a: 1\nb:\n  c:\n    - 2\n    - d: 3\n")
    assert source.data == {"a": 1, "b": {"c": [2, {"d": 3}]}}
    assert source.lines == {
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 3,
        ("b", "c", 0): 4,
        ("b", "c", 1): 5,
        ("b", "c", 1, "d"): 5,
    }


def test_a_missing_key_has_the_line_of_what_would_hold_it(tmp_path: Path) -> None:
    source = read(tmp_path, "a: 1\nb:\n  c: 2\n")
    assert source.line(("b", "x", "y")) == 2
    assert source.line(("x",)) == 1


def test_scalars_keep_their_spelling(tmp_path: Path) -> None:
    source = read(tmp_path, "a: yes\nb: '8'\nc: \"8\"\nd: 8\n")
    assert [source.written[key,] for key in "abcd"] == ["yes", "'8'", '"8"', "8"]


def test_json_has_lines_and_may_be_indented_with_tabs(tmp_path: Path) -> None:
    source = read(tmp_path, '{\n\t"a": 1e3,\n\t"b": ["\\ud83d\\ude00", null, true]\n}', "s.json")
    assert source.data == {"a": 1000.0, "b": ["\N{GRINNING FACE}", None, True]}
    assert source.lines["a",] == 2
    assert source.lines["b", 1] == 3
    assert not source.problems


def test_a_number_with_an_exponent_is_a_number_in_yaml_too(tmp_path: Path) -> None:
    assert read(tmp_path, "a: 1e3\nb: '1e3'\n").data == {"a": 1000.0, "b": "1e3"}


@pytest.mark.parametrize("name", ["s.yaml", "s.json"])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, '\ufeff{"a": 1}', name).data == {"a": 1}


@pytest.mark.parametrize("name", ["s.yaml", "s.json"])
def test_a_repeated_key_is_reported_with_both_lines(tmp_path: Path, name: str) -> None:
    source = read(tmp_path, '{\n"a": {"b": 1,\n"b": 2}}', name)
    (problem,) = source.problems
    assert (problem.loc, problem.line) == (("a", "b"), 3)
    assert "first on line 2" in problem.fix


@pytest.mark.parametrize(
    ("text", "key"), [("on: 1", "on"), ("no: 1", "no"), ("1: 1", "1"), ("~: 1", "~")]
)
def test_a_key_that_yaml_does_not_read_as_text_is_to_be_quoted(
    tmp_path: Path, text: str, key: str
) -> None:
    (problem,) = read(tmp_path, f"a: 1\n{text}\n").problems
    assert problem.line == 2
    assert f'"{key}"' in problem.fix


def test_braces_as_a_key_are_reported(tmp_path: Path) -> None:
    (problem,) = read(tmp_path, "? {a: 1}\n: 2\n").problems
    assert "a key must be text" in problem.fix


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1:30", "as 90 (base 60)"),
        ("010", "as 8 (base 8)"),
        ("2024-01-01", "a date"),
        (".inf", "finite"),
        (".nan", "finite"),
        ("!secret x", "type `!secret`"),
        ("!!int x", "not a valid int"),
    ],
)
def test_a_value_that_yaml_twists_is_reported(tmp_path: Path, text: str, words: str) -> None:
    (problem,) = read(tmp_path, f"a: 1\nb: {text}\n").problems
    assert (problem.loc, problem.line) == (("b",), 2)
    assert words in problem.fix


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_json_numbers_must_be_finite(tmp_path: Path, text: str) -> None:
    (problem,) = read(tmp_path, f'{{"a": {text}}}', "s.json").problems
    assert "finite" in problem.fix


def test_aliases_and_merges_work_and_own_keys_win(tmp_path: Path) -> None:
    source = read(tmp_path, "a: &x {p: 1, q: {r: 1}}\nb:\n  <<: *x\n  p: 2\nc: *x\n")
    assert source.data["b"] == {"p": 2, "q": {"r": 1}}
    assert source.data["c"] == {"p": 1, "q": {"r": 1}}
    assert source.lines["b", "p"] == 4


def test_the_first_of_several_merged_mappings_wins(tmp_path: Path) -> None:
    source = read(tmp_path, "a: &x {p: 1}\nb: &y {p: 2, q: 2}\nc: {<<: [*x, *y]}\n")
    assert source.data["c"] == {"p": 1, "q": 2}


def test_a_merge_of_something_else_is_reported(tmp_path: Path) -> None:
    (problem,) = read(tmp_path, "a:\n  <<: text\n").problems
    assert problem.line == 2
    assert "<<: *name" in problem.fix


def test_a_missing_file_is_one_clear_problem(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "gone.yaml").fix


def test_a_folder_is_one_clear_problem(tmp_path: Path) -> None:
    assert "a folder" in refusal(tmp_path).fix


def test_a_file_below_a_file_is_one_clear_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be read" in refusal(tmp_path / "file" / "study.yaml").fix


def test_a_file_that_is_not_text_is_one_clear_problem(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"a: \xff\xfe\n")
    assert "not UTF-8" in refusal(path).fix


@pytest.mark.parametrize("name", ["s.yaml", "s.json"])
@pytest.mark.parametrize("text", ["", " \n\n"])
def test_an_empty_file_is_one_clear_problem(tmp_path: Path, text: str, name: str) -> None:
    assert "empty" in refusal_of(tmp_path, text, name).fix


@pytest.mark.parametrize(("name", "line"), [("s.yaml", 2), ("s.json", 2)])
@pytest.mark.parametrize("text", ["\n[1, 2]", "\n3"])
def test_a_top_level_that_is_no_mapping_is_one_clear_problem(
    tmp_path: Path, text: str, name: str, line: int
) -> None:
    problem = refusal_of(tmp_path, text, name)
    assert "top level must be a mapping" in problem.fix
    assert problem.line == line


@pytest.mark.parametrize(
    ("name", "text", "line", "words"),
    [
        ("s.yaml", "a: 1\nb: [1, 2\nc: 3\n", 3, "not valid YAML"),
        ("s.yaml", "a:\n\tb: 1\n", 2, "not with tabs"),
        ("s.yaml", "a: 1\nb: c: d\n", 2, "quotes"),
        ("s.yaml", "a: 1\n---\nb: 2\n", 2, "not valid YAML"),
        ("s.yaml", "a: *x\n", 1, "not valid YAML"),
        ("s.yaml", "a: 1\nb: \x07\n", 2, "control character"),
        ("s.json", '{\n"a": 1,\n}', 3, "not valid JSON"),
        ("s.json", "a: 1\n", 1, "not valid JSON"),
    ],
)
def test_a_syntax_error_has_its_line(
    tmp_path: Path, name: str, text: str, line: int, words: str
) -> None:
    problem = refusal_of(tmp_path, text, name)
    assert problem.line == line
    assert words in problem.fix


def test_a_value_that_contains_itself_is_refused(tmp_path: Path) -> None:
    assert "contain themselves" in refusal_of(tmp_path, "a: &x [*x]\n").fix


@pytest.mark.parametrize("name", ["s.yaml", "s.json"])
def test_endless_nesting_is_refused(tmp_path: Path, name: str) -> None:
    text = '{"a": ' + "[" * 20_000 + "]" * 20_000 + "}"
    assert "too deeply" in refusal_of(tmp_path, text, name).fix


@pytest.mark.parametrize("item", ["*{}", "{{<<: *{}}}"])
def test_aliases_that_multiply_are_refused(tmp_path: Path, item: str) -> None:
    lines = ["a: &l0 {x: [1, 2, 3]}"]
    for depth in range(1, 9):
        items = ", ".join(f"k{i}: {item.format(f'l{depth - 1}')}" for i in range(10))
        lines.append(f"b{depth}: &l{depth} {{{items}}}")
    assert "aliases expand" in refusal_of(tmp_path, "\n".join(lines)).fix


def test_dotted_paths_show_list_indices_in_brackets() -> None:
    assert dotted(("workloads", 0, "stop", "seconds")) == "workloads[0].stop.seconds"
    assert dotted(()) == ""
