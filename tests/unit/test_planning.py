import itertools
import math
import shlex
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autotuner.errors import PlanError
from autotuner.planning import plan
from autotuner.search.exclusion import holds
from autotuner.spec.experiment import Timeouts, content_id
from autotuner.spec.launching import DockerSettings, OmeSettings, PodSettings
from autotuner.spec.objective import Constraint, Penalty
from autotuner.spec.searching import Budget, LevelChoice, Searching, StopWhen
from autotuner.spec.server import CpuPlan, Model
from autotuner.spec.study import (
    Axis,
    BenchConfig,
    Condition,
    Exclusion,
    Operator,
    ParameterRef,
    Resources,
    StudySpec,
)

SEQS, TOKENS = "max-num-seqs", "max-num-batched-tokens"


def points(planned):
    return [dict(experiment.parameters) for experiment in planned.experiments]


def exclude(*conditions, reason="because"):
    return Exclusion(tuple(Condition(*condition) for condition in conditions), reason)


def test_the_grid_has_every_combination_and_its_last_axis_varies_fastest(make_spec):
    planned = plan(make_spec({"a": [1, 2], "b": [3, 4, 5]}))
    assert points(planned) == [{"a": a, "b": b} for a in (1, 2) for b in (3, 4, 5)]
    assert [experiment.index for experiment in planned.experiments] == list(range(6))


def test_without_parameters_there_is_one_experiment_with_the_fixed_flags(make_spec):
    (experiment,) = plan(make_spec(flags={"seed": 7})).experiments
    assert experiment.parameters == {}
    assert experiment.server.flags["seed"] == 7


def test_tied_parameters_change_together(make_spec):
    tied = Axis("size", ({"a": 1, "b": 10}, {"a": 2, "b": 20}))
    other = Axis("c", ({"c": "x"}, {"c": "y"}))
    planned = plan(replace(make_spec(), axes=(tied, other)))
    assert [tuple(point.values()) for point in points(planned)] == [
        (1, 10, "x"),
        (1, 10, "y"),
        (2, 20, "x"),
        (2, 20, "y"),
    ]


def test_a_parameter_wins_over_a_fixed_flag(make_spec):
    planned = plan(make_spec({"seed": [1, 2]}, flags={"seed": 0}))
    assert [e.server.flags["seed"] for e in planned.experiments] == [1, 2]


def test_env_parameters_become_text_in_the_environment_and_no_flags(make_spec):
    planned = plan(
        make_spec({"env.A": [1, 0.5, "x", True, False]}, environment={"B": "fixed", "A": "old"})
    )
    assert [e.server.environment for e in planned.experiments] == [
        {"B": "fixed", "A": text} for text in ("1", "0.5", "x", "true", "false")
    ]
    assert all("A" not in flag for e in planned.experiments for flag in e.server.flags)


def test_an_env_parameter_of_null_is_left_out(make_spec):
    unset, _ = plan(make_spec({"env.A": [None, "x"]})).experiments
    assert unset.server.environment == {}


def test_false_and_null_leave_a_flag_out_and_zero_does_not(make_spec):
    planned = plan(make_spec({"a": [True, 0, ""], "b": [None]}, flags={"c": False}))
    assert [set(e.server.flags) for e in planned.experiments] == [{"time-scale", "a"}] * 3


COMPARISONS = [
    (Operator.EQUALS, 16, {16}),
    (Operator.NOT_EQUALS, 16, {8, 32}),
    (Operator.ONE_OF, (8, 32), {8, 32}),
    (Operator.LESS_THAN, 16, {8}),
    (Operator.AT_MOST, 16, {8, 16}),
    (Operator.GREATER_THAN, 16, {32}),
    (Operator.AT_LEAST, 16, {16, 32}),
]


@pytest.mark.parametrize(("operator", "operand", "dropped"), COMPARISONS)
def test_an_exclusion_drops_the_points_that_its_comparison_holds_for(
    make_spec, operator, operand, dropped
):
    planned = plan(make_spec({SEQS: [8, 16, 32]}, exclusions=(exclude((SEQS, operator, operand)),)))
    assert {drop.parameters[SEQS] for drop in planned.dropped} == dropped
    assert {point[SEQS] for point in points(planned)} == {8, 16, 32} - dropped
    assert {drop.reason for drop in planned.dropped} == {"because"}


@pytest.mark.parametrize(
    ("operator", "dropped"),
    [(operator, dropped) for operator, operand, dropped in COMPARISONS if operand == 16],
)
def test_every_comparison_with_one_value_also_takes_a_parameter_or_a_fixed_flag(
    make_spec, operator, dropped
):
    rule = exclude((SEQS, operator, ParameterRef("limit")))
    planned = plan(make_spec({SEQS: [8, 16, 32]}, flags={"limit": 16}, exclusions=(rule,)))
    assert {drop.parameters[SEQS] for drop in planned.dropped} == dropped


def test_a_point_is_dropped_only_if_all_conditions_of_an_exclusion_hold(make_spec):
    both = exclude((SEQS, Operator.EQUALS, 8), ("seed", Operator.EQUALS, 1))
    planned = plan(make_spec({SEQS: [8, 16], "seed": [1, 2]}, exclusions=(both,)))
    assert [drop.parameters for drop in planned.dropped] == [{SEQS: 8, "seed": 1}]


def test_the_first_exclusion_that_holds_gives_the_reason(make_spec):
    rules = tuple(exclude((SEQS, Operator.AT_LEAST, n), reason=f"from {n}") for n in (16, 8))
    planned = plan(make_spec({SEQS: [4, 8, 16]}, exclusions=rules))
    assert [drop.reason for drop in planned.dropped] == ["from 8", "from 16"]


def test_an_exclusion_without_a_reason_is_spelled_out(make_spec):
    rule = exclude((SEQS, Operator.AT_MOST, 8), (TOKENS, Operator.LESS_THAN, ParameterRef(SEQS)))
    planned = plan(
        make_spec({SEQS: [8, 16], TOKENS: [4, 64]}, exclusions=(replace(rule, reason=""),))
    )
    (drop,) = planned.dropped
    assert drop.reason == f"{SEQS} at most 8 and {TOKENS} less than {SEQS}"


def test_true_is_not_one(make_spec):
    rule = exclude(("a", Operator.EQUALS, True))
    assert points(plan(make_spec({"a": [1, True]}, exclusions=(rule,)))) == [{"a": 1}]
    rule = exclude(("a", Operator.ONE_OF, (1,)))
    assert points(plan(make_spec({"a": [1, True]}, exclusions=(rule,)))) == [{"a": True}]


@pytest.mark.parametrize("operator", Operator)
@pytest.mark.parametrize("operand", [3, (3, None), ParameterRef("there"), ParameterRef("null")])
@pytest.mark.parametrize("parameter", ["absent", "null", "there"])
def test_no_condition_holds_where_a_side_is_absent(operator, operand, parameter):
    known = {"there": 3, "null": None}
    absent = parameter != "there" or operand == ParameterRef("null")
    if absent:
        assert not holds(Condition(parameter, operator, operand), known)


@pytest.mark.parametrize(
    "operator",
    [Operator.LESS_THAN, Operator.AT_MOST, Operator.GREATER_THAN, Operator.AT_LEAST],
)
@pytest.mark.parametrize("value", ["8", True, False])
def test_only_numbers_have_an_order(operator, value):
    assert not holds(Condition("a", operator, 1), {"a": value})
    assert not holds(Condition("a", operator, ParameterRef("b")), {"a": 1, "b": value})


def test_when_everything_is_excluded_the_error_says_why(make_spec):
    rule = exclude((SEQS, Operator.AT_LEAST, 1), reason="too many")
    with pytest.raises(PlanError, match=r"all 2 combinations.*too many"):
        plan(make_spec({SEQS: [8, 16]}, exclusions=(rule,)))


def test_an_unknown_engine_is_an_error(make_spec):
    with pytest.raises(PlanError, match="no engine called 'sim2'"):
        plan(make_spec(engine="sim2"))


@pytest.mark.parametrize("baseline", [None, {}, {SEQS: 8}, {"env.MODE": "a"}])
def test_no_two_experiments_differ_only_in_their_load(make_spec, make_workload, baseline):
    """A server that is started once serves all levels; a second start would be GPU time lost."""
    workloads = (make_workload("short"), make_workload("long", concurrency=(1, 64)))
    axes = {SEQS: [None, 8, 16], "enable-prefix-caching": [None, False], "env.MODE": ["a", "b"]}
    planned = plan(make_spec(axes, workloads=workloads, baseline=baseline))
    servers = [content_id([e.server.content(), e.footprint.content()]) for e in planned.experiments]
    assert len(set(servers)) == len(servers) >= 6
    assert all(experiment.workloads == workloads for experiment in planned.experiments)


def test_two_points_with_the_same_server_are_one_experiment_and_a_duplicate(make_spec):
    planned = plan(make_spec({"enable-prefix-caching": [False, True, None]}))
    (duplicate,) = planned.duplicates
    assert duplicate.parameters == {"enable-prefix-caching": None}
    assert duplicate.same_as is planned.experiments[0]
    assert [experiment.index for experiment in planned.experiments] == [0, 1]


def test_ids_are_the_same_on_every_run_and_machine(make_spec):
    """A changed id orphans every results folder: raise the schema version if it must be."""
    first, second = plan(make_spec({SEQS: [8]})), plan(make_spec({SEQS: [8]}))
    assert first.experiments == second.experiments
    assert first.experiments[0].id == "b4353ac820"
    assert first.study_id == second.study_id == "495ebd6b"


def test_ids_do_not_depend_on_the_order_of_keys(make_spec):
    one = plan(make_spec({"a": [1], "b": [2]}, environment={"A": "1", "B": "2"}))
    other = plan(make_spec({"b": [2], "a": [1]}, environment={"B": "2", "A": "1"}))
    assert one.experiments[0].id == other.experiments[0].id
    assert one.study_id == other.study_id


def test_an_id_does_not_depend_on_whether_a_flag_is_fixed_or_searched(make_spec):
    fixed = plan(make_spec(flags={SEQS: 8})).experiments[0]
    searched = plan(make_spec({SEQS: [8]})).experiments[0]
    assert fixed.id == searched.id


def test_an_id_does_not_depend_on_what_is_not_measured(make_spec):
    plain = plan(make_spec()).experiments[0]
    other = plan(
        make_spec(description="x", max_attempts=7, timeouts=Timeouts(start_s=1.0))
    ).experiments[0]
    assert plain.id == other.id


def changed(make_spec, make_workload):
    base = make_workload()
    return {
        "flag": make_spec(flags={"seed": 1}),
        "flag's type": make_spec(flags={"seed": "1"}),
        "flag that is bare": make_spec(flags={"seed": True}),
        "environment": make_spec(environment={"A": "1"}),
        "executable": make_spec(executable="python"),
        "engine": make_spec(engine="vllm", flags={"time-scale": 0.05}),
        "model": make_spec(model=Model("/models/other", "/models/tiny")),
        "tokenizer": make_spec(model=Model("/models/tiny", "/models/other")),
        "launcher": make_spec(launcher="docker"),
        "gpus": make_spec(gpus=1),
        "cpus": make_spec(cpus=CpuPlan(2)),
        "pinning": make_spec(cpus=CpuPlan(1, (0,), (1,))),
        "bench": make_spec(bench=BenchConfig("genai-bench")),
        "bench's program": make_spec(bench=BenchConfig("closed-loop", "/opt/bench")),
        "scenario": make_spec(workloads=(replace(base, scenario="D(16,9)"),)),
        "concurrency": make_spec(workloads=(replace(base, concurrency=(1, 4)),)),
        "stop rule": make_spec(workloads=(replace(base, stop=replace(base.stop, requests=4)),)),
        "request": make_spec(workloads=(replace(base, request={"temperature": 1.0}),)),
        "warm-up": make_spec(workloads=(replace(base, warmup_requests=2),)),
        "second workload": make_spec(workloads=(base, replace(base, name="again"))),
    }


def test_an_id_differs_when_anything_that_is_measured_differs(make_spec, make_workload):
    specs = {"nothing": make_spec(), **changed(make_spec, make_workload)}
    ids = {what: plan(one).experiments[0].id for what, one in specs.items()}
    assert len(set(ids.values())) == len(ids), ids


def test_the_study_id_depends_on_the_name_and_the_experiments_alone(make_spec):
    base = plan(make_spec({SEQS: [8, 16]})).study_id
    assert plan(make_spec({SEQS: [8, 16]}, description="x", max_attempts=9)).study_id == base
    assert plan(make_spec({SEQS: [8, 16]}, name="other")).study_id != base
    assert plan(make_spec({SEQS: [8, 16, 32]})).study_id != base


def test_gpus_come_from_the_parallel_sizes_of_each_point(make_spec):
    planned = plan(make_spec({"tensor-parallel-size": [1, 2, 4]}, gpus=None))
    assert [e.footprint.gpus_per_node for e in planned.experiments] == [1, 2, 4]


def test_gpus_of_the_study_win_over_the_parallel_sizes(make_spec):
    planned = plan(make_spec({"tensor-parallel-size": [1, 2]}, gpus=8, cpus=CpuPlan(3)))
    assert [e.footprint.gpus_per_node for e in planned.experiments] == [8, 8]
    assert {e.footprint.cpus.reserve for e in planned.experiments} == {3}


def test_a_parallel_size_that_is_none_is_an_error(make_spec):
    with pytest.raises(PlanError, match="parallel size"):
        plan(make_spec({"tensor-parallel-size": ["two"]}, gpus=None))


def test_the_command_leaves_port_and_name_open(make_spec):
    planned = plan(make_spec({SEQS: [8]}))
    command = planned.command(planned.experiments[0])
    assert command[command.index("--port") + 1] == "{port}"
    assert command[command.index("--served-model-name") + 1] == "{served_name}"
    assert command[command.index(f"--{SEQS}") + 1] == "8"


def test_the_launch_command_is_one_shell_line_with_secrets_masked(make_spec):
    planned = plan(
        make_spec(
            engine="vllm",
            model=Model("/models/a model", "/models/a model"),
            flags={"compilation-config": '{"level": 3}'},
            environment={"HF_TOKEN": "hf_sesame", "GREETING": "it's me"},
        )
    )
    line = planned.launch_command(planned.experiments[0])
    assert "\n" not in line
    assert "hf_sesame" not in line
    words = shlex.split(line)
    assert "HF_TOKEN=..." in words
    assert "GREETING=it's me" in words
    assert "VLLM_NO_USAGE_STATS=1" in words
    assert words[words.index("vllm") :][:3] == ["vllm", "serve", "/models/a model"]
    assert words[words.index("--compilation-config") + 1] == '{"level": 3}'
    assert words[words.index("--port") + 1].isdigit()


def test_the_longest_time_grows_with_every_level(make_spec, make_workload):
    few, more = (
        plan(make_spec(workloads=(make_workload(concurrency=levels, seconds=30.0),)))
        for levels in ((1,), (1, 2))
    )
    assert more.estimated_s(more.experiments[0]) - few.estimated_s(few.experiments[0]) == 30.0


def test_levels_are_counted_over_all_experiments(make_spec):
    assert plan(make_spec({SEQS: [8, 16, 32]})).levels == 6


VALUES = st.one_of(st.booleans(), st.integers(0, 4), st.none(), st.sampled_from(["x", "1"]))


def grid(axes):
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def excluded(spec, point):
    known = {**spec.engine.flags, **point}
    return any(all(holds(c, known) for c in rule.conditions) for rule in spec.exclusions)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_every_combination_is_measured_dropped_or_a_duplicate(make_spec, data):
    names = data.draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=3))
    axes = {name: data.draw(st.lists(VALUES, min_size=1, max_size=4)) for name in names}
    rules = data.draw(
        st.lists(
            st.builds(
                exclude,
                st.tuples(st.sampled_from("abcd"), st.sampled_from(Operator), VALUES),
            ),
            max_size=2,
        )
    )
    total = math.prod(len(values) for values in axes.values())
    spec = make_spec(axes, exclusions=tuple(rules))
    if all(excluded(spec, point) for point in grid(axes)):
        with pytest.raises(PlanError, match=f"all {total} combinations"):
            plan(spec)
        return
    planned = plan(spec)
    kept = len(planned.experiments)
    assert kept + len(planned.dropped) + len(planned.duplicates) == total
    assert len({experiment.id for experiment in planned.experiments}) == kept


def test_the_engine_s_defaults_are_planned_beside_the_grid_and_come_first(make_spec):
    planned = plan(make_spec({SEQS: [1, 2]}, flags={"seed": 7}, baseline={}))
    assert points(planned) == [{}, {SEQS: 1}, {SEQS: 2}]
    assert [e.is_baseline for e in planned.experiments] == [True, False, False]
    assert planned.baseline is planned.experiments[0]
    assert planned.baseline.server.flags["seed"] == 7
    assert [e.index for e in planned.experiments] == [0, 1, 2]


def test_a_point_of_the_grid_that_starts_the_baseline_s_server_is_the_baseline(make_spec):
    planned = plan(make_spec({SEQS: [1, None, 2]}, baseline={}))
    assert points(planned) == [{SEQS: None}, {SEQS: 1}, {SEQS: 2}]
    assert [e.is_baseline for e in planned.experiments] == [True, False, False]


def test_the_baseline_can_be_any_point(make_spec):
    planned = plan(make_spec({SEQS: [1, 2]}, baseline={SEQS: 2, "seed": 3}))
    assert planned.baseline is not None
    assert planned.baseline.parameters == {SEQS: 2, "seed": 3}


def test_a_baseline_does_not_save_a_grid_of_which_nothing_remains(make_spec):
    spec = make_spec({SEQS: [1]}, baseline={}, exclusions=(exclude((SEQS, Operator.EQUALS, 1)),))
    with pytest.raises(PlanError, match="excluded"):
        plan(spec)


def test_whether_it_is_the_baseline_changes_no_id(make_spec):
    ids = [
        {e.id for e in plan(make_spec({SEQS: [1, 2]}, baseline=b)).experiments}
        for b in (None, {SEQS: 1})
    ]
    assert ids[0] == ids[1]


def test_experiments_start_in_an_order_drawn_with_the_seed_after_the_baseline(make_spec):
    def order(seed, values=range(8)):
        planned = plan(make_spec({SEQS: list(values)}, baseline={}, order_seed=seed))
        return [e.parameters.get(SEQS) for e in planned.in_order]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1)[0] is None
    assert sorted(order(1)[1:]) == list(range(8))
    assert order(None) == [None, *range(8)]


def test_a_study_that_grows_goes_on_in_the_order_in_which_it_began(make_spec):
    def order(values):
        planned = plan(make_spec({SEQS: list(values)}, order_seed=1))
        return [e.parameters[SEQS] for e in planned.in_order]

    assert [value for value in order(range(16)) if value < 8] == order(range(8))


def test_repeats_are_levels_of_their_own(make_spec, make_workload):
    workload = replace(make_workload(concurrency=(1, 2)), repeats=3)
    (experiment,) = plan(make_spec(workloads=(workload,))).experiments
    assert [(level.repeat, level.concurrency) for level in experiment.levels] == [
        *[(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2)]
    ]


def test_secrets_of_the_server_that_results_will_show_are_masked(make_spec):
    secrets = {"HF_TOKEN": "hf_abcdef", "A": "b"}
    planned = plan(make_spec(environment=secrets, flags={"hf-token": "hf_ghijkl", "seed": 1}))
    (experiment,) = planned.experiments
    shown = planned.shown_server(experiment)
    assert shown.environment == {"HF_TOKEN": "***", "A": "b"}
    assert shown.flags["hf-token"] == "***"
    assert shown.flags["seed"] == 1
    printed = [planned.launch_command(experiment), *planned.command(experiment)]
    assert not any("hf_" in text for text in printed)
    assert experiment.server.flags["hf-token"] == "hf_ghijkl"


@pytest.mark.parametrize(
    ("penalty", "tolerated"),
    [(None, 0.1), (Penalty(), 1.0), (Penalty(fail_ratio=0.5), 0.15), (Penalty(fail_ratio=99), 1.0)],
)
def test_a_level_counts_as_measured_up_to_the_share_of_failures_that_is_not_fatal(
    make_spec, penalty, tolerated
):
    limit = Constraint("error_rate", None, 0.1, penalty=penalty)
    (experiment,) = plan(make_spec(constraints=[limit])).experiments
    assert experiment.workloads[0].max_error_rate == pytest.approx(tolerated)


GOLDEN = """\
study: golden
engine: {name: vllm, executable: /opt/vllm, flags: {dtype: bfloat16}, environment: {A: "1"}}
model: org/model
parameters:
  max-num-seqs: [8, 16]
workloads:
  - {name: chat, scenario: "D(10,5)", concurrency: [1, 2], stop: {seconds: 5}}
objective: {name: maximize_throughput, over: best}
resources: {gpus: 1, cpus: 2}
bench: {name: genai-bench, workers: 2}
"""


def test_ids_of_processes_are_those_of_before_there_were_other_launchers(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(GOLDEN)
    planned = plan(StudySpec.from_file(path))
    assert planned.study_id == "ec918d9c"
    ids = [experiment.id for experiment in planned.experiments]
    assert ids == ["e259ba8ece", "1517b0dc35", "a89f390f67"]


@pytest.mark.parametrize(
    ("launch", "quota", "of_a_node", "share"),
    [
        (None, None, 2, 0),
        (DockerSettings(image="a"), None, 2, 0),
        (PodSettings(image="a"), "kubernetes_gpus", 0, 2),
        (OmeSettings("m", pod=PodSettings(quota="west")), "west", 0, 2),
    ],
)
def test_servers_outside_the_nodes_take_of_a_quota_and_not_of_the_nodes_gpus(
    make_spec, launch, quota, of_a_node, share
):
    launcher = launch.kind if launch is not None else "process"
    spec = replace(make_spec(), launcher=launcher, launch=launch, resources=Resources(gpus=2))
    (experiment,) = plan(spec).experiments
    footprint = experiment.footprint
    assert (footprint.quota, footprint.reserved_gpus, footprint.quota_share) == (
        quota,
        of_a_node,
        share,
    )
    assert (experiment.server.launcher, experiment.server.launch) == (launcher, launch)
    assert footprint.gpus == 2


class TestServersThatSpanNodes:
    @pytest.fixture
    def wide(self, make_spec):
        resources = Resources(gpus=None, gpus_per_node=2)
        return plan(make_spec(flags={"tensor-parallel-size": 6}, resources=resources))

    def test_the_command_of_every_rank_leaves_the_meeting_place_open(self, wide):
        (experiment,) = wide.experiments
        assert experiment.footprint.nodes == 3
        for rank in range(3):
            command = wide.command(experiment, rank)
            assert command[command.index("--node-rank") + 1] == str(rank)
            assert command[command.index("--master-addr") + 1] == "{master_addr}"
            assert command[command.index("--master-port") + 1] == "{master_port}"

    def test_the_launch_command_is_one_shell_line_for_each_node(self, wide):
        lines = wide.launch_command(wide.experiments[0]).splitlines()
        assert [f"--node-rank {rank} " in line for rank, line in enumerate(lines)] == [True] * 3
        assert all("--master-addr RANK0_ADDRESS --master-port 29500" in line for line in lines)

    def test_what_cannot_span_nodes_is_refused_before_anything_runs(self, make_spec):
        resources = Resources(gpus=4, gpus_per_node=2)
        with pytest.raises(PlanError, match=r"launcher: docker .*resources\.gpus_per_node"):
            plan(make_spec(resources=resources, launcher="docker"))
        with pytest.raises(PlanError, match="node-rank = 1 cannot be set"):
            plan(make_spec(resources=resources, flags={"node-rank": 1}))


def searched(make_spec, axes, *, most=50, strategy="random", **changes):
    searching = Searching(strategy, most_candidates=most)
    return plan(make_spec(axes, searching=searching, **changes))


WIDE = {f"p{number}": list(range(8)) for number in range(10)}


def test_a_space_of_a_billion_points_is_planned_without_making_them(make_spec):
    planned = searched(make_spec, WIDE)
    assert planned.combinations == 2**30
    assert len(planned.experiments) == 50
    assert planned.is_drawn
    assert len({tuple(point.values()) for point in points(planned)}) == 50


def test_excluded_points_of_a_drawn_pool_are_replaced(make_spec):
    rule = exclude(("p0", Operator.AT_LEAST, 2))
    planned = searched(make_spec, WIDE, exclusions=(rule,))
    assert len(planned.experiments) == 50
    assert {point["p0"] for point in points(planned)} == {0, 1}
    assert planned.excluded == planned.looked_at - 50 > len(planned.dropped) == 100


def test_what_starts_the_same_server_counts_once_in_a_drawn_pool(make_spec):
    planned = searched(make_spec, {**WIDE, "flag": [None, False]})
    assert len({experiment.id for experiment in planned.experiments}) == 50


def test_of_a_pool_whose_points_are_all_excluded_the_last_reason_is_told(make_spec):
    rule = exclude(("p0", Operator.AT_LEAST, 0))
    with pytest.raises(PlanError, match=r"combinations are excluded.*because: because"):
        searched(make_spec, WIDE, most=5, exclusions=(rule,))


def test_a_space_no_larger_than_the_pool_is_planned_whole_and_in_order(make_spec):
    planned = searched(make_spec, {"a": [1, 2], "b": [3, 4, 5]}, most=6)
    assert points(planned) == [{"a": a, "b": b} for a in (1, 2) for b in (3, 4, 5)]
    assert not planned.is_drawn


def test_a_study_that_measures_everything_has_no_pool(make_spec):
    axes = {"a": list(range(20)), "b": list(range(10))}
    assert len(plan(make_spec(axes, searching=Searching(most_candidates=5))).experiments) == 200


def test_a_space_that_nobody_could_measure_whole_is_refused_at_once(make_spec):
    with pytest.raises(PlanError, match=r"1,073,741,824 combinations are too many.*strategy: tpe"):
        plan(make_spec(WIDE))


@pytest.mark.parametrize(
    "change",
    [
        {"budget": Budget(3)},
        {"strategy": "tpe"},
        {"stop_when": StopWhen(4)},
        {"first": 9},
        {"levels": LevelChoice.ADAPTIVE},
        {"estimator": "x"},
    ],
)
@pytest.mark.parametrize("axes", [WIDE, {"a": [1, 2, 3]}])
def test_how_a_space_is_searched_makes_it_no_other_study(make_spec, axes, change):
    before = Searching("random", most_candidates=50)
    ids = [
        plan(make_spec(axes, searching=searching)).study_id
        for searching in (before, replace(before, **change))
    ]
    assert ids[0] == ids[1]


def test_a_larger_pool_holds_the_smaller_one(make_spec):
    few, more = (searched(make_spec, WIDE, most=most) for most in (50, 80))
    assert points(more)[:50] == points(few)
