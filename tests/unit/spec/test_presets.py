"""The presets that come with autotuner: whole, valid, and of flags that their engines document."""

from __future__ import annotations

import math
import re
from dataclasses import asdict
from itertools import product
from pathlib import Path

import pytest
import yaml

from autotuner.engines.registry import load_engine
from autotuner.search.exclusion import holds
from autotuner.spec.experiment import content_id
from autotuner.spec.presets import Preset, preset_names, preset_versions, read_preset
from autotuner.spec.server import Value
from autotuner.spec.study import ParameterRef
from autotuner.spec.study_values import flag_name_fault, flag_value_fault, parallel_size_fault

DOCS = Path(__file__).parents[3] / "docs" / "presets.md"
ALL = [read_preset(name, v) for name in preset_names() for v in preset_versions(name)]
SGLANG = [preset for preset in ALL if preset.engine == "sglang"]
RELEASED = {
    "sglang/latency@1": "7ed11cdcc8",
    "sglang/throughput@1": "6e385bc9fb",
    "vllm/latency@1": "0195b23263",
    "vllm/throughput@1": "823c90167b",
}
"""Digest of the space of each version."""
# Names and values as SGLang 0.5.23 declares them; None: any number.
SGLANG_DOCUMENTED: dict[str, set[Value] | None] = {
    "mem-fraction-static": None,
    "chunked-prefill-size": None,
    "max-running-requests": None,
    "schedule-conservativeness": None,
    "cuda-graph-max-bs-decode": None,
    "page-size": None,
    "tp-size": None,
    "pp-size": None,
    "dp-size": None,
    "enable-mixed-chunk": {True, False},
    "kv-cache-dtype": {"auto", "fp8_e5m2", "fp8_e4m3", "mxfp8", "bf16", "bfloat16", "nvfp4"},
    "attention-backend": {"triton", "torch_native", "fa3", "fa4", "flashinfer", "flashmla"},
}


def names(preset: Preset) -> set[str]:
    """Every flag that the preset names, its rules included."""
    found = {parameter.name for parameter in preset.parameters} | set(preset.layouts.sizes)
    for rule in preset.exclusions:
        for condition in rule.conditions:
            found.add(condition.parameter)
            if isinstance(condition.operand, ParameterRef):
                found.add(condition.operand.name)
    return found


def test_there_is_one_for_each_engine_and_goal() -> None:
    assert set(preset_names()) == {
        "vllm/latency",
        "vllm/throughput",
        "sglang/latency",
        "sglang/throughput",
    }


@pytest.mark.parametrize("name", preset_names())
def test_versions_are_numbered_from_1_without_a_gap(name: str) -> None:
    versions = preset_versions(name)
    assert versions == tuple(range(1, len(versions) + 1))


@pytest.mark.parametrize("preset", ALL, ids=str)
def test_a_version_that_was_released_is_never_changed(preset: Preset) -> None:
    """Write the next version, and its digest here. Words may be mended."""
    space = [
        [(parameter.name, parameter.gpu, parameter.cpu) for parameter in preset.parameters],
        [preset.layouts.values, preset.layouts.replicas, preset.layouts.also_called],
        [[asdict(condition) for condition in rule.conditions] for rule in preset.exclusions],
    ]
    assert content_id(space) == RELEASED[str(preset)]


@pytest.mark.parametrize("preset", ALL, ids=str)
def test_every_value_is_one_that_a_study_file_may_hold(preset: Preset) -> None:
    for parameter in preset.parameters:
        assert flag_name_fault(parameter.name, preset.engine) is None
        for values in (parameter.gpu, parameter.cpu):
            if not isinstance(values, str):
                assert values
                assert len(set(values)) == len(values)
                assert not any(flag_value_fault(value) for value in values)
            else:
                assert values
        assert parameter.why


@pytest.mark.parametrize("preset", ALL, ids=str)
def test_the_product_of_a_layout_is_the_gpus_that_its_engine_takes(preset: Preset) -> None:
    engine = load_engine(preset.engine)
    for layout in preset.layouts.values:
        assert engine.gpus(layout) == math.prod(layout.values())
        assert not any(parallel_size_fault(n, v, preset.engine) for n, v in layout.items())
    assert len({tuple(layout.items()) for layout in preset.layouts.values}) == len(
        preset.layouts.values
    )


@pytest.mark.parametrize("preset", ALL, ids=str)
def test_another_name_of_a_size_is_one_to_its_engine_too(preset: Preset) -> None:
    for names in preset.layouts.also_called.values():
        for name in names:
            assert load_engine(preset.engine).gpus({name: 2}) == 2


@pytest.mark.parametrize("preset", ALL, ids=str)
def test_layouts_of_2_4_and_8_gpus_can_be_compared_where_their_number_is_fixed(
    preset: Preset,
) -> None:
    for gpus in (1, 2, 4, 8):
        assert any(math.prod(layout.values()) == gpus for layout in preset.layouts.values)


@pytest.mark.parametrize("preset", ALL, ids=str)
def test_no_rule_drops_every_value_of_a_parameter(preset: Preset) -> None:
    for kind in ("gpu", "cpu"):
        axes = {
            p.name: values
            for p in preset.parameters
            if not isinstance(values := getattr(p, kind), str)
        }
        points = [dict(zip(axes, point, strict=True)) for point in product(*axes.values())]
        kept = [
            point
            for point in points
            if not any(all(holds(c, point) for c in r.conditions) for r in preset.exclusions)
        ]
        for name, values in axes.items():
            assert {point[name] for point in kept} == set(values), (kind, name)


@pytest.mark.parametrize("preset", SGLANG, ids=str)
def test_every_flag_and_value_for_sglang_is_documented(preset: Preset) -> None:
    assert names(preset) <= SGLANG_DOCUMENTED.keys()
    for parameter in preset.parameters:
        documented = SGLANG_DOCUMENTED[parameter.name]
        for values in (parameter.gpu, parameter.cpu):
            for value in () if isinstance(values, str) else values:
                if documented is None:
                    assert value is None or isinstance(value, int | float)
                else:
                    assert value is None or value in documented


@pytest.mark.parametrize("preset", ALL, ids=str)
def test_what_changes_the_models_answers_is_told(preset: Preset) -> None:
    for parameter in preset.parameters:
        assert ("kv-cache-dtype" in parameter.name) == bool(parameter.note)


@pytest.mark.parametrize("preset", ALL, ids=str)
def test_the_documentation_shows_the_newest_as_it_is(preset: Preset) -> None:
    if preset.version != preset_versions(preset.name)[-1]:
        return
    text = DOCS.read_text()
    (section,) = (part for part in text.split("\n## ") if part.startswith(f"{preset.name}\n"))
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| ([^|]*) \| ", section, re.MULTILINE))
    assert set(rows) == {parameter.name for parameter in preset.parameters}
    for parameter in preset.parameters:
        shown = rows[parameter.name].strip()
        if isinstance(parameter.gpu, str):
            assert shown == "-"
        else:
            assert tuple(yaml.safe_load(f"[{shown}]")) == parameter.gpu


@pytest.mark.parametrize("preset", ALL, ids=str)
def test_the_history_has_every_version(preset: Preset) -> None:
    history = DOCS.read_text().partition("\n## Versions\n")[2]
    assert f"`{preset}`" in history
