"""The key ``preset`` of a study file: what is taken, what the file overrules, what is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autotuner.errors import PlanError
from autotuner.planning import plan
from autotuner.spec import presets
from autotuner.spec.presets import Layouts, Preset, PresetParameter
from autotuner.spec.study import Condition, Exclusion, Operator, ParameterRef, StudySpec

if TYPE_CHECKING:
    from .conftest import StudyWriter

ENGINE = "engine: {name: vllm}"


def parameter(name: str, *values: object, cpu: object = None, note: str = "") -> PresetParameter:
    return PresetParameter(name, "because", values, values if cpu is None else cpu, note)  # type: ignore[arg-type]


SIZES = Layouts(
    "because",
    (
        {"tensor-parallel-size": 1},
        {"tensor-parallel-size": 2},
        {"tensor-parallel-size": 2, "pipeline-parallel-size": 2},
        {"tensor-parallel-size": 1, "data-parallel-size": 2},
        {"tensor-parallel-size": 2, "data-parallel-size": 2},
    ),
    replicas="data-parallel-size",
    also_called={"tensor-parallel-size": ("tp",)},
)
RULE = Exclusion(
    (Condition("max-num-batched-tokens", Operator.LESS_THAN, ParameterRef("max-num-seqs")),),
    "too few tokens",
)
STAND_INS = {
    ("vllm/first", 1): (parameter("max-num-seqs", 1, 2),),
    ("vllm/first", 2): (
        parameter("max-num-seqs", 4, 8),
        parameter("max-num-batched-tokens", 4, 16, cpu=(4, 8)),
        parameter("kv-cache-dtype", "auto", "fp8", cpu="not there", note="look at the answers"),
    ),
    ("vllm/second", 1): (parameter("max-num-seqs", 16), parameter("no-log-stats", True, False)),
    ("sglang/first", 1): (parameter("page-size", 1),),
}


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presets that no release changes."""

    def read(name: str, version: int) -> Preset:
        rules = (RULE,) if (name, version) == ("vllm/first", 2) else ()
        layouts = SIZES if name == "vllm/first" else Layouts("none", ())
        return Preset(name, version, "a goal", STAND_INS[name, version], layouts, rules)

    versions = {"sglang/first": (1,), "vllm/first": (1, 2), "vllm/second": (1,)}
    monkeypatch.setattr(presets, "_versions", lambda: versions)
    monkeypatch.setattr("autotuner.spec.study_presets.read_preset", read)


def values(spec: StudySpec) -> dict[str, list[object]]:
    """Axis -> its values, or its points where it sets several parameters."""
    return {
        axis.name: [
            point[axis.name] if axis.name in point else dict(point) for point in axis.points
        ]
        for axis in spec.axes
    }


def test_a_preset_is_a_search_space(study: StudyWriter) -> None:
    spec = study.load(preset="preset: vllm/first")
    assert values(spec) == {
        "max-num-seqs": [4, 8],
        "max-num-batched-tokens": [4, 16],
        "kv-cache-dtype": ["auto", "fp8"],
    }


def test_without_a_version_the_newest_counts_and_is_written_down(study: StudyWriter) -> None:
    (used,) = study.load(preset="preset: vllm/first").presets
    assert (str(used), used.newest) == ("vllm/first@2", True)


def test_with_a_version_that_one_counts(study: StudyWriter) -> None:
    spec = study.load(preset="preset: vllm/first@1")
    (used,) = spec.presets
    assert (str(used), used.newest) == ("vllm/first@1", False)
    assert values(spec) == {"max-num-seqs": [1, 2]}


@pytest.mark.parametrize(
    "own",
    [
        "parameters: {max-num-seqs: [3]}",
        "parameters: {max_num_seqs: [3]}",
        "parameters: {max-num-seqs: {min: 1, max: 3}}",
        "parameters: {both: {type: tied, values: [{max-num-seqs: 3, x: 1}]}}",
    ],
)
def test_a_parameter_of_the_study_wins_in_any_spelling(study: StudyWriter, own: str) -> None:
    spec = study.load(preset="preset: vllm/first", parameters=own)
    (used,) = spec.presets
    assert used.left_out["max-num-seqs"] == "set by the study"
    assert [name for axis in spec.axes[1:] for name in axis.parameters] == [
        "max-num-batched-tokens",
        "kv-cache-dtype",
    ]


def test_a_flag_of_all_experiments_wins_too(study: StudyWriter) -> None:
    engine = "engine: {name: vllm, flags: {max-num-seqs: 3}}"
    assert "max-num-seqs" not in values(study.load(preset="preset: vllm/first", engine=engine))


def test_a_flag_and_its_negative_form_are_the_same(study: StudyWriter) -> None:
    spec = study.load(preset="preset: vllm/second", parameters="parameters: {log-stats: [true]}")
    assert values(spec) == {"log-stats": [True], "max-num-seqs": [16]}


def test_of_several_presets_the_last_wins(study: StudyWriter) -> None:
    spec = study.load(preset="preset: [vllm/first, vllm/second]")
    assert values(spec)["max-num-seqs"] == [16]
    first, second = spec.presets
    assert first.left_out["max-num-seqs"] == "set by vllm/second@1"
    assert "max-num-seqs" not in second.left_out


def test_the_rules_of_a_preset_exclude_what_its_engine_refuses(study: StudyWriter) -> None:
    planned = plan(study.load(preset="preset: vllm/first", baseline="baseline: false"))
    points = {
        (e.parameters["max-num-seqs"], e.parameters["max-num-batched-tokens"])
        for e in planned.experiments
    }
    assert points == {(4, 4), (4, 16), (8, 16)}
    assert {dropped.reason for dropped in planned.dropped} == {"too few tokens"}


def test_a_rule_follows_the_studys_own_values_and_spelling(study: StudyWriter) -> None:
    parameters = "parameters: {max_num_seqs: [4, 64], kv-cache-dtype: [auto]}"
    planned = plan(
        study.load(preset="preset: vllm/first", parameters=parameters, baseline="baseline: false")
    )
    assert {e.parameters["max_num_seqs"] for e in planned.experiments} == {4}
    other = "parameters: {max_num_batched_tokens: [4], kv-cache-dtype: [auto]}"
    planned = plan(
        study.load(preset="preset: vllm/first", parameters=other, baseline="baseline: false")
    )
    assert {e.parameters["max-num-seqs"] for e in planned.experiments} == {4}
    with pytest.raises(PlanError, match="too few tokens"):
        plan(study.load(preset="preset: vllm/first", parameters="parameters: {max_num_seqs: [64]}"))


def test_a_rule_about_what_the_study_does_not_set_never_holds(study: StudyWriter) -> None:
    spec = study.load(
        preset="preset: vllm/first", parameters="parameters: {max-num-seqs: [null, 8]}"
    )
    kept = {e.parameters.get("max-num-seqs") for e in plan(spec).experiments}
    assert kept == {None, 8}


def test_a_rule_of_the_study_may_name_what_only_the_preset_sets(study: StudyWriter) -> None:
    spec = study.load(
        preset="preset: vllm/first", exclude="exclude: [{when: {kv-cache-dtype: fp8}}]"
    )
    assert all(e.parameters.get("kv-cache-dtype", "auto") == "auto" for e in plan(spec).experiments)
    problem = study.problem(
        preset="preset: vllm/first", exclude="exclude: [{when: {kv-cache-dtype: fp9}}]"
    )
    assert "never holds" in problem.fix


def test_the_label_of_layouts_is_no_parameter_to_compare_with(study: StudyWriter) -> None:
    problem = study.problem(
        preset="preset: vllm/first",
        resources="resources: {gpus_per_node: 4}",
        exclude="exclude: [{when: {layout: 1}}]",
    )
    assert "use one of theirs: tensor-parallel-size, pipeline-parallel-size" in problem.fix


class TestCpu:
    """``resources: {gpus: 0}``: a server without a GPU."""

    def test_values_are_those_for_cpus_and_the_rest_is_left_out_with_a_reason(
        self, study: StudyWriter
    ) -> None:
        spec = study.load(preset="preset: vllm/first", resources="resources: {gpus: 0}")
        assert values(spec) == {"max-num-seqs": [4, 8], "max-num-batched-tokens": [4, 8]}
        (used,) = spec.presets
        assert used.left_out["kv-cache-dtype"] == "not there"
        assert used.notes == ()
        sizes = "tensor-parallel-size x pipeline-parallel-size x data-parallel-size"
        assert used.left_out[sizes] == "there are no GPUs"

    def test_on_gpus_what_to_know_of_a_parameter_is_said(self, study: StudyWriter) -> None:
        (used,) = study.load(preset="preset: vllm/first").presets
        assert used.notes == ("look at the answers",)


class TestLayouts:
    """How many GPUs a server may take."""

    def layouts(self, study: StudyWriter, **sections: str) -> list[object] | str:
        spec = study.load(preset="preset: vllm/first", **sections)
        (used,) = spec.presets
        said = [reason for name, reason in used.left_out.items() if "tensor" in name]
        return said[0] if said else values(spec)["layout"]

    def test_without_a_word_about_gpus_no_size_is_tried(self, study: StudyWriter) -> None:
        assert "resources.gpus_per_node" in self.layouts(study)

    @pytest.mark.parametrize(("gpus", "most"), [(1, 1), (2, 2), (3, 2), (8, 4)])
    def test_none_is_larger_than_a_node(self, study: StudyWriter, gpus: int, most: int) -> None:
        found = self.layouts(study, resources=f"resources: {{gpus_per_node: {gpus}}}")
        sizes = [1, 2, 4]
        assert len(found) == sizes.index(most) + 1
        assert not any("data-parallel-size" in layout for layout in found)  # type: ignore[operator]

    def test_none_is_larger_than_what_the_study_may_hold(self, study: StudyWriter) -> None:
        found = self.layouts(study, resources="resources: {gpus_per_node: 8}", gpus="max_gpus: 2")
        assert found == [{"tensor-parallel-size": 1}, {"tensor-parallel-size": 2}]

    def test_where_their_number_is_fixed_all_ways_to_use_so_many_are_compared(
        self, study: StudyWriter
    ) -> None:
        assert self.layouts(study, resources="resources: {gpus: 2}") == [
            {"tensor-parallel-size": 2},
            {"tensor-parallel-size": 1, "data-parallel-size": 2},
        ]
        said = self.layouts(study, resources="resources: {gpus: 3}")
        assert said == "none takes exactly 3 GPUs (resources.gpus)"

    @pytest.mark.parametrize("name", ["tensor-parallel-size", "tensor_parallel_size", "tp"])
    def test_a_size_of_the_study_replaces_them_all_under_any_name(
        self, study: StudyWriter, name: str
    ) -> None:
        said = self.layouts(
            study,
            resources="resources: {gpus_per_node: 8}",
            parameters=f"parameters: {{{name}: [4]}}",
        )
        assert said == "set by the study"

    def test_the_studys_own_layout_keeps_its_name(self, study: StudyWriter) -> None:
        spec = study.load(
            preset="preset: vllm/first",
            resources="resources: {gpus_per_node: 1}",
            parameters="parameters: {layout: [a]}",
        )
        assert {"layout", "layout_"} <= values(spec).keys()


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("vllm/frist", "preset", "unknown preset; did you mean `vllm/first`?"),
        ("speed", "preset", "allowed: sglang/first, vllm/first, vllm/second"),
        ("vllm/first@9", "preset", "there are: vllm/first@1, vllm/first@2"),
        ("vllm/first@", "preset", "there is no such version"),
        ("[vllm/first, sglang/first]", "preset[1]", "for engine vllm there are: vllm/first"),
        ("[vllm/first, vllm/first@1]", "preset[1]", "stands here twice"),
        ("{name: vllm/first}", "preset", "write the name of a preset"),
        ("[7]", "preset[0]", "write the name of a preset"),
    ],
)
def test_a_wrong_preset_is_told_with_those_there_are(
    study: StudyWriter, text: str, key: str, words: str
) -> None:
    problem = study.problem(preset=f"preset: {text}")
    assert problem.key == key
    assert words in problem.fix


def test_an_engine_without_presets_is_told_so(study: StudyWriter) -> None:
    engine = 'engine: {name: custom, command: [serve, "{port}"]}'
    assert "there is none" in study.problem(preset="preset: vllm/first", engine=engine).fix
