import json
import sys

import pytest

from autotuner.supervision.wills import Will, wills_in


def will(code, **environment):
    return Will((sys.executable, "-c", code), "token", environment)


def test_a_will_that_succeeds_leaves_nothing(tmp_path):
    mark = tmp_path / "done"
    assert will(f"open({str(mark)!r}, 'w').close()").carry_out() is None
    assert mark.exists()


def test_it_runs_in_the_environment_that_was_written_down(tmp_path):
    check = "import os; raise SystemExit(0 if os.environ['WHERE'] == 'here' else 'elsewhere')"
    will(check, WHERE="here").write(tmp_path / "a.will.json")
    (read,) = wills_in(tmp_path)
    assert read.carry_out() is None


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit('still there')", "still there"),
        ("raise SystemExit(3)", "exit status 3"),
        ("import time; time.sleep(3600)", "timed out"),
    ],
)
def test_a_will_that_fails_says_why(code, told):
    timeout_s = 1.0 if "sleep" in code else 60.0
    assert told in (will(code).carry_out(timeout_s) or "")


def test_a_program_that_is_missing_is_a_reason():
    assert "FileNotFoundError" in (Will(("/no/such/program",), "token", {}).carry_out() or "")


@pytest.mark.parametrize("text", ["", "[]", '{"command": ["x"]', json.dumps({"token": "t"})])
def test_a_torn_will_is_none(tmp_path, text):
    (tmp_path / "a.will.json").write_text(text)
    assert wills_in(tmp_path) == []
