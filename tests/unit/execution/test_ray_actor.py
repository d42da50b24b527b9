"""What an actor's process takes before it can begin, while its devices are idle.

Of our own: a Ray worker imports pyarrow and pydantic besides, before it reads its first argument.
"""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

HEAVY = {"docker", "kubernetes", "numpy", "pandas", "pyarrow", "pydantic"}

AS_FAR_AS_THE_SERVER = """
import pickle, sys
import autotuner.execution.ray_actor
from autotuner.launchers.registry import load_launcher
from autotuner.node.events import PhaseStarted
from autotuner.node.experiment import run_attempt
from autotuner.spec.experiment import Phase

order = pickle.load(sys.stdin.buffer)
events = run_attempt(order)
while next(events) != PhaseStarted(Phase.SERVER_START):
    pass
load_launcher(order.attempt.experiment.server.launcher)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
events.close()
"""

AS_FAR_AS_THE_LOAD = AS_FAR_AS_THE_SERVER.replace("SERVER_START", "WARMUP")


@pytest.fixture
def imported(make_order):
    """Packages that a new process has imported when an attempt has come so far."""

    def until(script):
        return set(
            subprocess.run(
                [sys.executable, "-c", script],
                input=pickle.dumps(make_order()),
                stdout=subprocess.PIPE,
                check=True,
            )
            .stdout.decode()
            .split()
        )

    return until


def test_what_an_actor_imports_before_its_server_starts_is_light(imported):
    packages = imported(AS_FAR_AS_THE_SERVER)
    assert {"autotuner", "ray"} <= packages
    assert packages & HEAVY == set()


def test_what_makes_rows_is_imported_while_the_server_starts(imported):
    assert "pyarrow" in imported(AS_FAR_AS_THE_LOAD)


@pytest.mark.parametrize("engine", ["custom", "sglang", "vllm"])
def test_no_engine_and_no_load_generator_of_a_process_brings_more(engine):
    script = f"""
import sys
from autotuner.bench.registry import load_generator
from autotuner.engines.registry import load_engine
load_engine({engine!r}), load_generator("genai-bench")
print(*{{name.partition(".")[0] for name in sys.modules}})
"""
    told = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    assert set(told.stdout.decode().split()) & HEAVY == set()
