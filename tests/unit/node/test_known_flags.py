"""The flags of a study held against an engine's own: a program that answers as vLLM would."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from autotuner.node import known_flags
from autotuner.node.compile_cache import CACHE_VARIABLE
from autotuner.node.known_flags import FlagFault, FlagLook, look_at_flags
from autotuner.spec.server import Model, ServerConfig

PROGRAM = """\
#!{python}
import os, sys
from pathlib import Path
folder = Path({folder!r})
asked = " ".join(sys.argv[1:])
with (folder / "asked").open("a") as file:
    print(asked, file=file)
answer = folder / asked.replace(" ", "_")
print(answer.read_text() if answer.exists() else "error: no such thing")
"""
HELP = """\
options:
  --host HOST
  --port PORT
  --served-model-name NAME
  --max-num-seqs N
  --tensor-parallel-size N, -tp N
  --kv-cache-dtype {auto,fp8}
"""


@dataclass
class Program:
    """Stands where vLLM's would; ``answers`` of the arguments can be changed."""

    folder: Path

    @property
    def server(self) -> ServerConfig:
        path = str(self.folder / "vllm")
        return ServerConfig("vllm", Model("/m", "/m"), {}, executable=path)

    def answers(self, arguments: str, text: str) -> None:
        (self.folder / arguments.replace(" ", "_")).write_text(text)

    @property
    def asked(self) -> list[str]:
        """What it has been asked since the last look."""
        path = self.folder / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "caches"))
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "vllm").write_text(PROGRAM.format(python=sys.executable, folder=str(folder)))
    (folder / "vllm").chmod(0o755)
    made = Program(folder)
    made.answers("serve --help=all", HELP)
    made.answers("--version", "0.32.0")
    return made


RIGHT = {"max-num-seqs": (4, 8), "kv-cache-dtype": ("fp8", True)}
WRONG = {"max-num-seqs": (4,), "max-num-sequences": (4,), "kv-cache-dtype": ("auto", "fp9")}
FAULTS = (
    FlagFault(
        "max-num-sequences",
        None,
        "has no flag --max-num-sequences; did you mean `max-num-seqs`?",
    ),
    FlagFault(
        "kv-cache-dtype", "fp9", "does not take fp9 for --kv-cache-dtype; did you mean `fp8`?"
    ),
)


def test_flags_that_the_engine_knows_are_right_and_its_version_is_told(program: Program) -> None:
    assert look_at_flags(program.server, RIGHT) == FlagLook("vllm 0.32.0")


def test_each_flag_and_value_that_it_refuses_is_a_fault(program: Program) -> None:
    assert look_at_flags(program.server, WRONG) == FlagLook("vllm 0.32.0", FAULTS)


def test_the_engine_is_asked_once_for_many_studies(program: Program) -> None:
    look_at_flags(program.server, RIGHT)
    assert program.asked == ["serve --help=all", "--version"]
    assert look_at_flags(program.server, {"host": ("a",)}) == FlagLook("vllm 0.32.0")
    assert program.asked == []


def test_before_a_refusal_by_heart_its_version_is_asked(program: Program) -> None:
    look_at_flags(program.server, RIGHT)
    assert program.asked
    assert look_at_flags(program.server, WRONG).faults == FAULTS
    assert program.asked == ["--version"]


@pytest.mark.parametrize("version", ["0.33.0", ""])
def test_an_engine_that_was_upgraded_in_place_is_asked_anew(program: Program, version: str) -> None:
    look_at_flags(program.server, RIGHT)
    program.answers("--version", version)
    program.answers("serve --help=all", HELP + "  --max-num-sequences N\n")
    faults = look_at_flags(program.server, {"max-num-sequences": (4,)}).faults
    assert faults == ()


@pytest.mark.parametrize("version", ["0.33.0.dev12+g1234", ""])
def test_an_engine_that_may_be_worked_on_is_asked_anew_before_a_refusal(
    program: Program, version: str
) -> None:
    program.answers("--version", version)
    look_at_flags(program.server, RIGHT)
    program.answers("serve --help=all", HELP + "  --max-num-sequences N\n")
    assert look_at_flags(program.server, {"max-num-sequences": (4,)}).faults == ()


def test_a_program_that_was_changed_is_another_one(program: Program) -> None:
    look_at_flags(program.server, RIGHT)
    assert program.asked
    os.utime(program.folder / "vllm", (1, 1))
    look_at_flags(program.server, RIGHT)
    assert program.asked == ["serve --help=all", "--version"]


def test_a_version_without_groups_of_flags_is_asked_plainly(program: Program) -> None:
    program.answers("serve --help=all", "vllm: error: ignored explicit argument 'all'")
    program.answers("serve --help", HELP)
    assert look_at_flags(program.server, WRONG).faults == FAULTS


@pytest.mark.parametrize(
    "text", ["", "Traceback (most recent call last):\n", "options:\n  --host HOST\n  --port PORT\n"]
)
def test_an_engine_that_does_not_list_its_flags_refuses_none(program: Program, text: str) -> None:
    program.answers("serve --help=all", text)
    look = look_at_flags(program.server, WRONG)
    assert look == FlagLook("vllm", unchecked="its --help does not list its flags")
    assert look_at_flags(program.server, WRONG).unchecked  # nothing of it was kept
    assert program.asked.count("serve --help=all") == 2


def test_an_engine_that_does_not_answer_in_time_refuses_none(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_flags, "ASK_S", 0.0)
    assert look_at_flags(program.server, WRONG).unchecked is not None
    assert program.asked == []


def test_without_a_cache_every_study_asks(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    for _ in range(2):
        assert look_at_flags(program.server, RIGHT) == FlagLook("vllm 0.32.0")
        assert program.asked == ["serve --help=all", "--version"]


def test_a_torn_note_of_an_earlier_answer_is_as_none(program: Program, tmp_path: Path) -> None:
    look_at_flags(program.server, RIGHT)
    (note,) = (tmp_path / "caches").rglob("*.json")
    note.write_text("{")
    assert look_at_flags(program.server, WRONG).faults == FAULTS


def test_of_a_flag_that_holds_a_secret_no_value_is_told(program: Program) -> None:
    program.answers("serve --help=all", HELP + "  --hf-token {a,b}\n")
    assert look_at_flags(program.server, {"hf-token": ("secret",)}).faults == ()


@pytest.mark.parametrize(
    ("engine", "executable", "said"),
    [
        ("custom", None, "it has no list of its flags"),
        ("vllm", "no-such-program", "no-such-program is not on this node"),
        ("elsewhere", None, "no engine called 'elsewhere'"),
    ],
)
def test_what_cannot_be_looked_at_is_said_and_refuses_nothing(
    engine: str, executable: str | None, said: str
) -> None:
    server = ServerConfig(engine, Model("/m", "/m"), {}, executable=executable)
    look = look_at_flags(server, WRONG)
    assert said in str(look.unchecked)
    assert look.faults == ()


def test_a_launcher_that_starts_only_servers_is_said_to() -> None:
    server = ServerConfig("vllm", Model("/m", "/m"), {}, launcher="kubernetes")
    look = look_at_flags(server, WRONG)
    assert look == FlagLook("vllm", unchecked="launcher kubernetes starts only servers")


def test_our_own_engine_is_asked_before_each_refusal_as_it_may_be_worked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    server = ServerConfig("sim", Model("/m", "/m"), {})
    (fault,) = look_at_flags(server, {"max-num-sequences": (4,), "time-scale": (0.1,)}).faults
    assert fault.flag == "max-num-sequences"
    (note,) = tmp_path.rglob("*.json")
    note.write_text(note.read_text().replace("--time-scale", "--other-scale"))
    assert look_at_flags(server, {"time-scale": (0.1,)}).faults == ()
