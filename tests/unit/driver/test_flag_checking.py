"""Before a study: flags that all engines refuse, and those that only some do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from autotuner.driver.flag_checking import check_flags, flag_uses
from autotuner.driver.progress import EnginesAsked, FlagsRefused
from autotuner.errors import PlanError, StudyFileError
from autotuner.execution.base import Node, NodeAnswer
from autotuner.execution.local import LocalExecutor
from autotuner.node.compile_cache import CACHE_VARIABLE
from autotuner.node.known_flags import FlagFault, FlagLook
from autotuner.planning import Plan, plan
from autotuner.results.load import load_results
from autotuner.spec.launching import DockerSettings, PodSettings
from autotuner.spec.study import Axis, StudySpec, UsedPreset
from autotuner.study import run

SEQS = "max-num-seqs"
FLAG = FlagFault("x", None, "has no flag --x; did you mean `y`?")
VALUE = FlagFault("dtype", "fp9", "does not take fp9 for --dtype; it takes a, b")
STUDY = """\
study: tiny
engine:
  name: sim
  flags: {time-scale: 0.05}
model: /m
parameters:
  max-num-sequences: [1, 2]
workloads:
  - {name: chat, scenario: "D(10,5)", concurrency: [1], stop: {seconds: 600, requests: 2}}
objective: {name: maximize_throughput, at: {concurrency: 1}}
baseline: false
finalist_servers: 1
resources: {gpus: 0}
bench: closed-loop
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "caches"))


@dataclass
class Nodes:
    """Nodes that say of the flags what they are told to say; None: nothing."""

    looks: Mapping[str, FlagLook | None]
    gpus: int = 0
    quotas: Mapping[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    patience: int = 0
    """So many times the asker is asked whether it has given up."""

    def nodes(self) -> tuple[Node, ...]:
        return tuple(
            Node(name, f"host-{name}", self.gpus, 8, quotas=self.quotas) for name in self.looks
        )

    def ask_nodes(self, calls, *, timeout_s, given_up):
        self.asked += [node.id for node in calls]
        for _ in range(self.patience):
            given_up()
        looks = {node: self.looks[node.id] for node in calls}
        return tuple(
            NodeAnswer(node, look, "it has left" if look is None else None, 0.0, 1.0)
            for node, look in looks.items()
        )


def look(version: str, *faults: FlagFault) -> FlagLook:
    return FlagLook(f"vllm {version}", faults)


def checked(planned: Plan, executor: object, **options: Callable[[], bool]) -> list[object]:
    told: list[object] = []
    check_flags(planned, executor, told.append, **options)  # type: ignore[arg-type]
    return told


@pytest.fixture
def planned(make_spec) -> Plan:
    return plan(make_spec({"x": [1], "dtype": ["a", "fp9"]}))


def test_a_flag_that_all_nodes_refuse_refuses_the_study(planned: Plan) -> None:
    with pytest.raises(PlanError) as refused:
        checked(planned, Nodes({"a": look("1", FLAG), "b": look("1", FLAG)}))
    assert "parameters.x: vllm 1 has no flag --x; did you mean `y`?" in str(refused.value)
    assert "engine.check_flags: false" in str(refused.value)


def test_with_all_versions_against_it_each_of_them_is_named(planned: Plan) -> None:
    with pytest.raises(PlanError, match="vllm 1 and vllm 2 has no flag"):
        checked(planned, Nodes({"a": look("1", FLAG), "b": look("2", FLAG)}))


def test_a_flag_that_some_nodes_know_refuses_nothing_and_the_others_are_told(
    planned: Plan,
) -> None:
    looks = {"a": look("1", FLAG), "b": look("2"), "c": look("1", FLAG)}
    assert checked(planned, Nodes(looks)) == [
        FlagsRefused(("host-a", "host-c"), "vllm 1", (FLAG.words,))
    ]


@pytest.mark.parametrize("silent", [None, FlagLook("vllm", unchecked="it has no list")])
def test_beside_a_node_that_cannot_tell_nothing_is_refused(
    planned: Plan, silent: FlagLook | None
) -> None:
    told = checked(planned, Nodes({"a": look("1", FLAG), "b": silent}))
    assert [type(event) for event in told] == [FlagsRefused]


def test_of_two_faults_only_the_one_of_all_nodes_is_the_reason(planned: Plan) -> None:
    looks = {"a": look("1", FLAG, VALUE), "b": look("2", VALUE)}
    with pytest.raises(PlanError) as refused:
        checked(planned, Nodes(looks))
    assert "--x" not in str(refused.value)
    assert "parameters.dtype: vllm 1 and vllm 2 does not take fp9" in str(refused.value)


def test_right_flags_are_worth_no_word(planned: Plan) -> None:
    assert checked(planned, Nodes({"a": look("1"), "b": look("2")})) == []


def test_a_cluster_without_a_node_yet_refuses_nothing(planned: Plan) -> None:
    assert checked(planned, Nodes({})) == []


def test_nodes_that_hold_no_experiment_are_not_asked(planned: Plan) -> None:
    wide = tuple(
        replace(one, footprint=replace(one.footprint, gpus_per_node=2))
        for one in planned.experiments
    )
    nodes = Nodes({"a": look("1", FLAG)}, gpus=1)
    assert checked(replace(planned, experiments=wide), nodes) == []
    assert nodes.asked == []


def test_who_says_so_is_not_checked(planned: Plan) -> None:
    engine = replace(planned.spec.engine, check_flags=False)
    nodes = Nodes({"a": look("1", FLAG)})
    assert checked(replace(planned, spec=replace(planned.spec, engine=engine)), nodes) == []
    assert nodes.asked == []


def test_servers_that_start_elsewhere_are_not_asked(make_spec) -> None:
    elsewhere = make_spec({"x": [1]}, launcher="kubernetes", launch=PodSettings(image="i"))
    nodes = Nodes({"a": look("1", FLAG)}, quotas={"kubernetes_gpus": 1})
    assert checked(plan(elsewhere), nodes) == []
    assert nodes.asked == []


def test_it_is_told_that_engines_are_asked_only_where_that_takes_long(
    planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = Nodes({"a": look("1"), "b": look("1")}, patience=3)
    assert checked(planned, nodes) == []
    monkeypatch.setattr("autotuner.driver.flag_checking._QUIET_S", -1.0)
    assert checked(planned, nodes) == [EnginesAsked("sim", ("host-a", "host-b"))]


def test_who_gives_up_hears_no_more(planned: Plan) -> None:
    assert checked(planned, Nodes({"a": look("1", FLAG)}), given_up=lambda: True) == []


def test_the_flags_of_every_experiment_are_used_with_each_of_their_values(make_spec) -> None:
    spec = make_spec(
        {"a": [1, 1.0, True, False, None], "env.V": ["v"]},
        flags={"b": "text"},
        baseline={"c": 3},
    )
    uses = flag_uses(plan(spec))
    assert uses is not None
    assert {name: list(values) for name, values in uses.items() if name != "time-scale"} == {
        "b": ["text"],
        "c": [3],
        "a": [1, 1.0, True],
    }


@pytest.mark.parametrize(
    ("flag", "place"),
    [
        ("b", "engine.flags.b"),
        ("a", "parameters.a"),
        ("second", "parameters.split.values[1].second"),
        ("c", "baseline.c"),
    ],
)
def test_the_place_of_a_flag_is_where_the_user_wrote_it(make_spec, flag: str, place: str) -> None:
    split = Axis("split", ({"first": 1}, {"first": 1, "second": 2}))
    spec: StudySpec = make_spec({"a": [1]}, flags={"b": 1}, baseline={"c": 3})
    planned = plan(replace(spec, axes=(*spec.axes, split)))
    fault = FlagFault(flag, None, "has no such flag")
    with pytest.raises(PlanError) as refused:
        checked(planned, Nodes({"a": look("1", fault)}))
    assert str(refused.value).startswith(f"{place}: ")


def test_a_flag_of_a_preset_is_told_with_the_preset_and_how_to_do_without(make_spec) -> None:
    axis = Axis("x", ({"x": 1},))
    preset = UsedPreset("sim/goal", 2, "a goal", (axis,), {})
    planned = plan(replace(make_spec(), axes=(axis,), presets=(preset,)))
    with pytest.raises(PlanError) as refused:
        checked(planned, Nodes({"a": look("1", FLAG)}))
    assert str(refused.value).startswith("preset: vllm 1 has no flag --x")
    assert "(of preset sim/goal@2: write `x: [...]` under `parameters`" in str(refused.value)
    assert "[null] to leave it out" in str(refused.value)


class TestStudy:
    """What `run` makes of it, with the simulated engine's own help."""

    def refused(self, path: Path, text: str) -> str:
        path.write_text(text)
        spec = replace(StudySpec.from_file(path), output=path.parent / "out")
        with LocalExecutor(cpus=2) as local, pytest.raises(StudyFileError) as caught:
            run(spec, executor=local)
        return str(caught.value)

    def test_a_wrong_flag_is_refused_with_file_line_key_and_what_was_meant(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "study.yaml"
        said = self.refused(path, STUDY)
        assert f"{path}:7: parameters.max-num-sequences: sim " in said
        assert "has no flag --max-num-sequences; did you mean `max-num-seqs`?" in said

    def test_nothing_has_started_and_the_mended_file_goes_on_in_the_same_folder(
        self, tmp_path: Path
    ) -> None:
        self.refused(tmp_path / "study.yaml", STUDY)
        assert len(load_results(tmp_path / "out").experiments) == 0
        (tmp_path / "study.yaml").write_text(STUDY.replace("max-num-sequences", SEQS))
        spec = replace(StudySpec.from_file(tmp_path / "study.yaml"), output=tmp_path / "out")
        with LocalExecutor(cpus=2) as local:
            results = run(spec, executor=local)
        assert list(results.experiments["outcome"]) == ["completed"] * 2

    def test_in_a_container_the_program_of_the_image_is_asked(
        self, make_spec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Here a launcher of processes stands for Docker's."""
        monkeypatch.setitem(
            sys.modules["autotuner.launchers.registry"]._LAUNCHERS,
            "docker",
            "autotuner.launchers.process:ProcessLauncher",
        )
        spec = make_spec(
            {"max-num-sequences": [1]},
            launcher="docker",
            launch=DockerSettings(image="i"),
            executable=sys.executable,
        )
        with LocalExecutor(cpus=1) as local, pytest.raises(PlanError, match="max-num-seqs"):
            run(spec, executor=local)
