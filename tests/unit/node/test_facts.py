import os
import socket
import sys

import pytest

from autotuner.engines.sim import SimEngine
from autotuner.node.facts import engine_version, host_name
from autotuner.spec.server import Model, ServerConfig
from autotuner.version import __version__

SERVER = ServerConfig("sim", Model("/m", "/m"), {})


class Speaks(SimEngine):
    def __init__(self, *code):
        self.code = code

    def version_command(self, server):
        return [sys.executable, "-c", *self.code] if self.code else None


def version(engine):
    return engine_version(engine, SERVER, dict(os.environ))


def test_the_host_is_the_machine_s_own_name():
    assert host_name() == socket.gethostname()


def test_the_version_is_what_the_engine_says_of_itself():
    assert version(SimEngine()) == __version__


@pytest.mark.parametrize(
    "code",
    ["raise SystemExit(3)", "print()", "import sys; print('1.0', file=sys.stderr)"],
    ids=["fails", "says nothing", "says it elsewhere"],
)
def test_a_version_that_cannot_be_told_is_none(code):
    assert version(Speaks(code)) is None


def test_an_engine_without_a_version_command_has_no_version():
    assert version(Speaks()) is None


def test_a_program_that_is_missing_has_no_version():
    missing = ServerConfig("sim", SERVER.model, {}, executable="/no/such/python")
    assert engine_version(SimEngine(), missing, {}) is None


def test_only_the_first_line_counts():
    assert version(Speaks("print('1.0'); print('more')")) == "1.0"
