"""An experiment's id stands for its content."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autotuner.spec.experiment import Attempt, Experiment, FailureKind, Retry, content_id
from autotuner.spec.server import CpuPlan, Footprint, Model, ServerConfig, Value
from autotuner.spec.workload import Dataset, StopRule, Workload

SERVER = ServerConfig(
    engine="vllm",
    model=Model("/models/llama", "/models/llama"),
    flags={"max-num-seqs": 16, "dtype": "bfloat16"},
    environment={"A": "1", "B": "2"},
)
WORKLOAD = Workload(
    "chat", "D(100,100)", (1, 8), StopRule(60, 64), request={"temperature": 0.0, "top_p": 1}
)
FOOTPRINT = Footprint(gpus_per_node=1)
BENCH = {"name": "genai-bench", "version": "0.0.3"}


def id_of(
    server: ServerConfig = SERVER,
    workloads: tuple[Workload, ...] = (WORKLOAD,),
    footprint: Footprint = FOOTPRINT,
    bench: dict[str, object] | None = None,
) -> str:
    return Experiment.id_of(server, workloads, footprint, BENCH if bench is None else bench)


def test_the_id_does_not_depend_on_the_order_of_keys() -> None:
    server = replace(
        SERVER,
        flags=dict(reversed(SERVER.flags.items())),
        environment=dict(reversed(SERVER.environment.items())),
    )
    workload = replace(WORKLOAD, request=dict(reversed(WORKLOAD.request.items())))
    bench = dict(reversed(BENCH.items()))
    assert id_of(server, (workload,), FOOTPRINT, bench) == id_of()


def test_the_id_is_short_hexadecimal() -> None:
    assert len(id_of()) == 10
    assert set(id_of()) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "server",
    [
        replace(SERVER, flags={**SERVER.flags, "max-num-seqs": 17}),
        replace(SERVER, flags={**SERVER.flags, "enforce-eager": True}),
        replace(SERVER, flags={"dtype": "bfloat16"}),
        replace(SERVER, flags={**SERVER.flags, "max-num-seqs": "16"}),
        replace(SERVER, environment={"A": "1", "B": "3"}),
        replace(SERVER, engine="sglang"),
        replace(SERVER, model=Model("/models/other", "/models/llama")),
        replace(SERVER, model=Model("/models/llama", "/models/other")),
        replace(SERVER, executable="/opt/vllm/bin/python"),
        replace(SERVER, command=("python", "{port}")),
        replace(SERVER, launcher="docker"),
    ],
)
def test_the_id_differs_when_anything_of_the_server_differs(server: ServerConfig) -> None:
    assert id_of(server) != id_of()


@pytest.mark.parametrize(
    "workload",
    [
        replace(WORKLOAD, name="other"),
        replace(WORKLOAD, scenario="D(100,101)"),
        replace(WORKLOAD, concurrency=(1, 4)),
        replace(WORKLOAD, stop=StopRule(61, 64)),
        replace(WORKLOAD, stop=StopRule(60)),
        replace(WORKLOAD, dataset=Dataset("prompts.csv")),
        replace(WORKLOAD, request={"temperature": 0.1, "top_p": 1}),
        replace(WORKLOAD, warmup_requests=3),
    ],
)
def test_the_id_differs_when_anything_of_a_workload_differs(workload: Workload) -> None:
    assert id_of(workloads=(workload,)) != id_of()


def test_the_id_differs_with_another_workload_more() -> None:
    assert id_of(workloads=(WORKLOAD, replace(WORKLOAD, name="other"))) != id_of()


@pytest.mark.parametrize(
    "footprint",
    [
        Footprint(gpus_per_node=2),
        Footprint(gpus_per_node=1, nodes=2),
        Footprint(gpus_per_node=1, cpus=CpuPlan(reserve=2)),
        Footprint(gpus_per_node=1, cpus=CpuPlan(server=(0,))),
    ],
)
def test_the_id_differs_when_the_footprint_differs(footprint: Footprint) -> None:
    assert id_of(footprint=footprint) != id_of()


def test_the_id_differs_with_another_load_generator() -> None:
    assert id_of(bench={**BENCH, "version": "0.0.4"}) != id_of()


def test_content_id_keeps_the_length_that_is_asked_for() -> None:
    assert len(content_id({"a": 1}, length=6)) == 6


def experiment(parameters: dict[str, Value]) -> Experiment:
    return Experiment(id_of(), 0, parameters, SERVER, (WORKLOAD,), FOOTPRINT)


@pytest.mark.parametrize(
    ("parameters", "label"),
    [
        ({}, "defaults"),
        ({"max-num-seqs": 16, "enforce-eager": True}, "max-num-seqs=16 enforce-eager"),
        ({"enable-prefix-caching": False}, "enable-prefix-caching=off"),
        ({"kv-cache-dtype": None}, "kv-cache-dtype=None"),
        ({"n": 1, "m": 0}, "n=1 m=0"),
    ],
)
def test_the_label_shows_the_parameters_in_one_line(
    parameters: dict[str, Value], label: str
) -> None:
    assert experiment(parameters).label == label


def test_the_levels_are_those_of_all_workloads_in_order() -> None:
    two = replace(experiment({}), workloads=(WORKLOAD, replace(WORKLOAD, name="b")))
    assert [(level.workload, level.concurrency) for level in two.levels] == [
        ("chat", 1),
        ("chat", 8),
        ("b", 1),
        ("b", 8),
    ]


def test_attempts_of_one_experiment_have_ids_and_served_names_of_their_own() -> None:
    first, second = (Attempt("s1", experiment({}), number) for number in (1, 2))
    assert first.id == f"{id_of()}-a1"
    assert first.id != second.id
    assert first.served_name == f"autotuner-s1-{first.id}"


def test_attempts_of_two_drivers_of_one_study_are_told_apart_where_they_may_meet() -> None:
    """Into two folders: the ids are the same, and must be for a folder to be continued."""
    one, other = (Attempt("s1", experiment({}), 1, driver=token) for token in ("aa", "bb"))
    assert one.id == other.id
    assert one.mark == f"{one.id}-aa"
    assert one.mark != other.mark
    assert one.served_name == f"autotuner-s1-{one.id}-aa"
    assert one.served_name != other.served_name


@pytest.mark.parametrize(
    ("retry", "kinds"),
    [
        (
            Retry.NEVER,
            {
                FailureKind.CONFIG_REJECTED,
                FailureKind.OUT_OF_MEMORY_AT_LOAD,
                FailureKind.OUT_OF_MEMORY_UNDER_LOAD,
                FailureKind.REQUESTS_FAILED,
                FailureKind.INTERNAL_ERROR,
            },
        ),
        (
            Retry.ELSEWHERE,
            {FailureKind.MODEL_NOT_FOUND, FailureKind.LAUNCH_FAILED, FailureKind.DISK_FULL},
        ),
    ],
)
def test_what_another_attempt_is_worth_follows_from_the_kind(
    retry: Retry, kinds: set[FailureKind]
) -> None:
    assert {kind for kind in FailureKind if kind.retry is retry} == kinds


def test_only_what_the_configuration_decides_is_permanent() -> None:
    assert {kind for kind in FailureKind if kind.permanent} == {
        FailureKind.CONFIG_REJECTED,
        FailureKind.OUT_OF_MEMORY_AT_LOAD,
        FailureKind.OUT_OF_MEMORY_UNDER_LOAD,
    }
    assert all(kind.retry is Retry.NEVER for kind in FailureKind if kind.permanent)
