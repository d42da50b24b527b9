"""A study file as a whole: everything at once, in order, with lines."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autotuner.errors import StudyFileError, StudyProblem
from autotuner.spec.experiment import Timeouts
from autotuner.spec.judging import Judging
from autotuner.spec.names import LAUNCHERS
from autotuner.spec.objective import Constraint, Direction, Objective, Penalty
from autotuner.spec.server import CpuPlan, Model
from autotuner.spec.study import BenchConfig, EngineConfig, Resources, StudySpec
from autotuner.spec.study_file import load_study
from autotuner.spec.study_launching_schema import DockerSection, PodSection
from autotuner.spec.study_schema import (
    BenchmarkJobSection,
    BenchSection,
    EngineSection,
    Section,
)
from autotuner.spec.study_search import SearchSection
from autotuner.spec.workload import StopRule, Workload

if TYPE_CHECKING:
    from .conftest import StudyWriter

REQUIRED = ["study", "engine", "model", "workloads", "objective"]
OPTIONAL = [
    "description",
    "launcher",
    "docker",
    "kubernetes",
    "ome",
    "preset",
    "parameters",
    "exclude",
    "search",
    "constraints",
    "slo",
    "goodput",
    "usd_per_gpu_hour",
    "minimal_effect",
    "finalist_servers",
    "max_repeats",
    "compare_across",
    "repeats",
    "baseline",
    "order",
    "seed",
    "resources",
    "timeouts",
    "bench",
    "max_attempts",
    "give_up_after",
    "max_gpus",
    "output",
]
DOCS = Path(__file__).parents[3] / "docs" / "study-file.md"


def problems_of(path: Path) -> tuple[StudyProblem, ...]:
    with pytest.raises(StudyFileError) as caught:
        load_study(path)
    return caught.value.problems


def test_a_minimal_study_has_every_default_filled_in(
    study: StudyWriter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert study.load() == StudySpec(
        name="s",
        engine=EngineConfig("vllm"),
        model=Model("org/model", "org/model"),
        axes=(),
        workloads=(Workload("D(100,100)", "D(100,100)", (1,), StopRule(60)),),
        judging=Judging(
            Objective(
                "maximize_throughput",
                "output_throughput_tok_s",
                Direction.MAXIMIZE,
                workload="D(100,100)",
                concurrency=1,
            ),
            minimal_effect=0.02,
            finalist_servers=5,
        ),
        baseline={},
        order_seed=0,
        bench=BenchConfig("genai-bench"),
        resources=Resources(None, CpuPlan(1)),
        timeouts=Timeouts(),
        max_attempts=2,
        output=tmp_path / "results" / "s",
    )


def test_from_file_reads_the_same_study(study: StudyWriter) -> None:
    spec = study.load()
    assert StudySpec.from_file(str(study.folder / "study.yaml")) == spec


def test_a_study_knows_where_it_stands(study: StudyWriter) -> None:
    source = study.load(engine="engine:\n  name: vllm\n  flags: {a: 1}").source
    assert source is not None
    assert source.path == str(study.folder / "study.yaml")
    assert source.line(("engine", "flags", "a")) == 4
    assert source.line(("engine", "flags", "b", 0)) == 4
    assert source.line(("parameters", "a")) is None


def test_the_example_in_the_documentation_loads(study: StudyWriter) -> None:
    example, *fragments = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    spec = load_study(study.write(example))
    assert spec.name == "chat-throughput"
    assert spec.judging.constraints[0] == Constraint("ttft_s", "p99", 0.5)
    assert len(spec.axes) == 5
    assert len(spec.exclusions) == 2
    custom = next(fragment for fragment in fragments if fragment.startswith("engine:"))
    chosen = next(fragment for fragment in fragments if fragment.startswith("launcher:"))
    for launcher in LAUNCHERS:
        text = chosen.replace("launcher: docker", f"launcher: {launcher}")
        assert study.load(engine="", x=text).launcher == launcher
    pinned = next(fragment for fragment in fragments if fragment.startswith("resources:"))
    assert study.load(engine=custom, resources=pinned).engine.name == "custom"


def test_the_fragments_about_judging_in_the_documentation_load(study: StudyWriter) -> None:
    fragments = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    weighted, soft, goodput = (
        next(fragment for fragment in fragments if fragment.startswith(f"{key}:"))
        for key in ("objective", "slo", "goodput")
    )
    item = "{name: %s, scenario: 'D(5,5)', concurrency: [8, 64], stop: {seconds: 1}}"
    judging = study.load(
        workloads=f"workloads: [{item % 'chat'}, {item % 'code'}]",
        objective=weighted,
        slo=soft,
        goodput=goodput,
    ).judging
    assert [term.weight for term in judging.objective.weights] == [0.7, 0.3]
    assert judging.constraints == (Constraint("e2e_latency_s", "p99", 5.0, penalty=Penalty()),)
    assert len(judging.request_slos) == 2


@pytest.mark.parametrize(
    ("title", "section"),
    [
        ("engine", EngineSection),
        ("docker", DockerSection),
        ("kubernetes", PodSection),
        ("bench", BenchSection),
        ("bench", BenchmarkJobSection),
        ("search", SearchSection),
    ],
)
def test_the_documentation_lists_every_key_of_a_section(title: str, section: type[Section]) -> None:
    _, _, text = DOCS.read_text().partition(f"\n## {title}\n")
    rows = re.findall(r"^\| (`.*?) \|", text.partition("\n## ")[0], re.MULTILINE)
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert set(section.model_fields) <= documented


def test_the_documentation_lists_every_top_level_key(study: StudyWriter) -> None:
    allowed = study.problem(zzzzzz="zzzzzz: 1").fix.removeprefix("unknown key; allowed: ")
    table = re.findall(r"^\|(.*?)\|", DOCS.read_text().split("## engine")[0], re.MULTILINE)
    documented = [key for cell in table for key in re.findall(r"`(\w+)`", cell)]
    assert sorted(documented) == sorted(allowed.split(", "))
    assert set(REQUIRED) | set(OPTIONAL) == set(documented)


FIVE_MISTAKES = """\
study: five mistakes
engine:
  name: vllm
  flags: {--dtype: bfloat16}
model: org/model
parameters:
  max-num-seqs: 16
workloads:
  - scenario: D(100,100)
    concurrency: [1, "8"]
    stop: {minutes: 1, seconds: 60}
objective: {name: maximize_throughput, over: best}
"""


def test_five_mistakes_are_reported_at_once_each_with_its_line(study: StudyWriter) -> None:
    problems = problems_of(study.write(FIVE_MISTAKES))
    assert [(problem.line, problem.key, problem.value) for problem in problems] == [
        (1, "study", "five mistakes"),
        (4, "engine.flags.--dtype", ""),
        (7, "parameters.max-num-seqs", "16"),
        (10, "workloads[0].concurrency[1]", '"8"'),
        (11, "workloads[0].stop.minutes", "1"),
    ]


def test_json_gives_the_same_study_and_lines_too(study: StudyWriter) -> None:
    content = {
        "study": "s",
        "engine": {"name": "vllm"},
        "model": "org/model",
        "workloads": [{"scenario": "D(100,100)", "concurrency": 1, "stop": {"seconds": 60}}],
        "objective": "maximize_throughput",
    }
    path = study.write(json.dumps(content, indent="\t"), "study.json")
    assert load_study(path) == study.load()
    text = json.dumps(content | {"max_attempts": "2", "lancher": "process"}, indent="\t")
    problems = problems_of(study.write(text, "study.json"))
    lines = text.splitlines()
    expected = [next(i for i, t in enumerate(lines, 1) if k in t) for k in ("max_att", "lancher")]
    assert [problem.line for problem in problems] == expected


@pytest.mark.parametrize("key", REQUIRED)
def test_a_required_key_that_is_missing_or_empty_is_asked_for(study: StudyWriter, key: str) -> None:
    missing = study.problem(**{key: ""})
    assert (missing.key, missing.line) == (key, 1)
    assert "is missing" in missing.fix
    assert f"`{key}: " in missing.fix
    empty = study.problem(**{key: f"{key}:"})
    assert "has no value" in empty.fix
    assert empty.line is not None


@pytest.mark.parametrize("key", REQUIRED)
def test_the_example_that_a_missing_key_shows_is_valid(study: StudyWriter, key: str) -> None:
    example = study.problem(**{key: ""}).fix.split("`")[1]
    study.load(**{key: example, "objective": "objective: {name: maximize_throughput, over: best}"})


@pytest.mark.parametrize(
    "key",
    OPTIONAL,
)
def test_an_optional_key_without_a_value_counts_as_left_out(study: StudyWriter, key: str) -> None:
    assert study.load(**{key: f"{key}:"}) == study.load()


def test_an_unknown_key_near_a_known_one_names_it(study: StudyWriter) -> None:
    assert "did you mean `launcher`?" in study.problem(x="lancher: process").fix


def test_a_repeated_key_is_an_error(study: StudyWriter) -> None:
    problem = study.problem(again="study: t")
    assert (problem.key, problem.line) == ("study", 6)


def test_a_value_that_yaml_twists_is_reported_once(study: StudyWriter) -> None:
    problem = study.problem(max_attempts="max_attempts: .nan")
    assert "finite" in problem.fix


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("slos", "`slo`"),
        ("price", "`usd_per_gpu_hour`"),
        ("min_effect", "`minimal_effect`"),
        ("random_seed", "`seed`"),
        ("weights", "under `objective`"),
        ("repeat", "`repeats`"),
        ("finalists", "`finalist_servers`"),
        ("base_line", "`baseline`"),
        ("n_trials", "`search: {max_experiments: 40}`"),
        ("sampler", "`search: {strategy: tpe}`"),
        ("optimization", "`search: {strategy: tpe, max_experiments: 40}`"),
        ("max_gpu_hours", "under `search`"),
        ("num_workers", "`bench: {name: ..., workers: 4}`"),
    ],
)
def test_a_likely_wrong_key_is_told_its_right_one(
    study: StudyWriter, wrong: str, meant: str
) -> None:
    problem = study.problem(x=f"{wrong}: 1")
    assert (problem.key, problem.line) == (wrong, 6)
    assert meant in problem.fix


@pytest.mark.parametrize(
    ("key", "least"), [("repeats", 1), ("seed", 0), ("finalist_servers", 1), ("give_up_after", 0)]
)
@pytest.mark.parametrize("value", [None, "true", '"2"', "1.5", "[1]"])
def test_a_count_is_a_whole_number_without_quotes(
    study: StudyWriter, key: str, least: int, value: str | None
) -> None:
    shown = str(least - 1) if value is None else value
    problem = study.problem(x=f"{key}: {shown}")
    assert (problem.key, problem.value) == (key, shown)
    assert f"at least {least}" in problem.fix
    study.load(x=f"{key}: {least}")


def test_every_level_of_every_workload_is_repeated(study: StudyWriter) -> None:
    item = "{name: %s, scenario: 'D(5,5)', concurrency: [1, 2], stop: {seconds: 1}}"
    spec = study.load(
        workloads=f"workloads: [{item % 'a'}, {item % 'b'}]",
        objective="objective: {name: minimize_ttft, at: {workload: a, concurrency: 2}}",
        repeats="repeats: 3",
    )
    assert [workload.repeats for workload in spec.workloads] == [3, 3]


@pytest.mark.parametrize(
    ("text", "seed"),
    [("", 0), ("seed: 7", 7), ("order: random", 0), ("order: random\nseed: 7", 7)],
)
def test_the_order_is_drawn_with_the_seed(study: StudyWriter, text: str, seed: int) -> None:
    spec = study.load(order=text)
    assert (spec.order_seed, spec.warnings) == (seed, ())


def test_in_plan_order_nothing_is_drawn_and_a_seed_is_said_to_be_unused(
    study: StudyWriter,
) -> None:
    assert study.load(order="order: plan").order_seed is None
    spec = study.load(order="order: plan\nseed: 7")
    assert spec.order_seed is None
    (warning,) = spec.warnings
    assert "`seed` is not used" in warning


@pytest.mark.parametrize("value", ["shuffled", "3", "[]", "true"])
def test_another_order_is_refused(study: StudyWriter, value: str) -> None:
    problem = study.problem(order=f"order: {value}")
    assert problem.key == "order"
    assert "random" in problem.fix


@pytest.mark.parametrize("name", ["a b", "a/b", "-a", "", "é", "a" * 65])
def test_a_study_name_must_fit_file_and_container_names(study: StudyWriter, name: str) -> None:
    assert study.problem(study=f'study: "{name}"').key == "study"


@pytest.mark.parametrize("name", ["a", "A-b_9", "9", "a" * 64])
def test_letters_digits_dash_and_underscore_name_a_study(study: StudyWriter, name: str) -> None:
    assert study.load(study=f'study: "{name}"').name == name


@pytest.mark.parametrize("key", ["study", "description", "output"])
def test_a_number_where_text_is_wanted_is_to_be_quoted(study: StudyWriter, key: str) -> None:
    assert "in quotes" in study.problem(**{key: f"{key}: 12"}).fix


@pytest.mark.parametrize(
    ("launcher", "words"),
    [
        ("slurm", "allowed: process, docker, kubernetes, ome"),
        ("dokcer", "did you mean `docker`?"),
        ("Process", "did you mean `process`?"),
        ("true", "unknown launcher"),
    ],
)
def test_another_launcher_is_refused_with_those_there_are(
    study: StudyWriter, launcher: str, words: str
) -> None:
    problem = study.problem(launcher=f"launcher: {launcher}")
    assert (problem.key, problem.value) == ("launcher", launcher)
    assert words in problem.fix


@pytest.mark.parametrize("value", ["0", "-1", "true", '"2"', "1.5"])
def test_max_attempts_is_a_whole_number_of_at_least_one(study: StudyWriter, value: str) -> None:
    problem = study.problem(max_attempts=f"max_attempts: {value}")
    assert (problem.key, problem.value) == ("max_attempts", value)


def test_results_may_go_to_an_object_store(study: StudyWriter) -> None:
    assert study.load(output="output: s3://bucket/prefix").output == "s3://bucket/prefix"


def test_an_address_with_keys_is_refused_without_showing_them(study: StudyWriter) -> None:
    with pytest.raises(StudyFileError) as error:
        study.load(output="output: s3://key:sesame@bucket/prefix")
    assert "output: an address must not hold keys" in str(error.value)
    assert "sesame" not in str(error.value)


def test_a_relative_output_starts_at_the_study_file(study: StudyWriter) -> None:
    assert study.load(output="output: ../out/x").output == study.folder.parent / "out" / "x"


def test_timeouts_that_are_left_out_keep_their_default(study: StudyWriter) -> None:
    timeouts = study.load(timeouts="timeouts: {start_s: 5, stop_s: 0.5}").timeouts
    assert timeouts == Timeouts(start_s=5, stop_s=0.5)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("{start: 3}", "timeouts.start", "`start_s`"),
        ("{start_s: 0}", "timeouts.start_s", "above 0"),
        ("{start_s: true}", "timeouts.start_s", "true and false"),
        ('{start_s: "5"}', "timeouts.start_s", "without quotes"),
        ("5", "timeouts", "mapping"),
    ],
)
def test_a_wrong_timeout_is_explained(study: StudyWriter, text: str, key: str, words: str) -> None:
    problem = study.problem(timeouts=f"timeouts: {text}")
    assert problem.key == key
    assert words in problem.fix


@pytest.mark.parametrize("text", ["genai-bench", "{name: genai-bench}"])
def test_a_bench_may_be_its_name_alone(study: StudyWriter, text: str) -> None:
    assert study.load(bench=f"bench: {text}").bench == BenchConfig("genai-bench")


def test_the_executable_of_the_bench_starts_at_the_study_file(study: StudyWriter) -> None:
    bench = study.load(bench="bench: {name: genai-bench, executable: bin/gb}").bench
    assert bench.executable == str(study.folder / "bin" / "gb")


@pytest.mark.parametrize(
    ("bench", "key"), [("genai_bench", "bench"), ("{name: genai_bench}", "bench.name")]
)
def test_an_unknown_load_generator_is_refused(study: StudyWriter, bench: str, key: str) -> None:
    problem = study.problem(bench=f"bench: {bench}")
    assert (problem.key, problem.value) == (key, "genai_bench")
    assert "did you mean `genai-bench`" in problem.fix


def test_the_load_may_come_from_several_processes(study: StudyWriter) -> None:
    bench = study.load(bench="bench: {name: genai-bench, workers: 4}").bench
    assert bench == BenchConfig("genai-bench", workers=4)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("{name: genai-bench, workers: -1}", "workers", "at least 0"),
        ("{name: genai-bench, workers: true}", "workers", "whole number"),
        ("{name: genai-bench, num_workers: 2}", "num_workers", "`workers`"),
        ("{name: closed-loop, workers: 2}", "workers", "one process"),
    ],
)
def test_wrong_workers_are_explained(study: StudyWriter, text: str, key: str, words: str) -> None:
    problem = study.problem(bench=f"bench: {text}")
    assert problem.key == f"bench.{key}"
    assert words in problem.fix


def test_a_bench_without_a_name_is_refused(study: StudyWriter) -> None:
    assert study.problem(bench="bench: {executable: gb}").key == "bench.name"


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("2", CpuPlan(2)),
        ('{server: "0-3", load: [4, 5], reserve: 7}', CpuPlan(7, (0, 1, 2, 3), (4, 5))),
        ('{server: "0-2,8", load: 4}', CpuPlan(5, (0, 1, 2, 8), (4,))),
        ("{server: 3}", CpuPlan(1, (3,), ())),
        ("{reserve: 3}", CpuPlan(3)),
        ("{}", CpuPlan(1)),
    ],
)
def test_cpus_are_a_number_or_sets(study: StudyWriter, text: str, plan: CpuPlan) -> None:
    assert study.load(resources=f"resources: {{cpus: {text}}}").resources.cpus == plan


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ('{server: "0-3", load: [3, 4]}', "resources.cpus.load", "both have 3"),
        ('{server: "3-0"}', "resources.cpus.server", "backwards"),
        ('{server: "a"}', "resources.cpus.server", "not a CPU number"),
        ("{server: -1}", "resources.cpus.server", "not a CPU number"),
        ('{server: "0-99999"}', "resources.cpus.server", "no CPU 99999"),
        ("{server: [1, 1]}", "resources.cpus.server", "twice"),
        ("{server: [true]}", "resources.cpus.server", "CPU numbers"),
        ("{server: 1.5}", "resources.cpus.server", "CPU numbers"),
        ("0", "resources.cpus.reserve", "at least 1"),
        ('"2"', "resources.cpus", "whole number"),
        ("1.5", "resources.cpus", "whole number"),
        ("true", "resources.cpus", "whole number"),
        ("{servers: 1}", "resources.cpus.servers", "`server`"),
    ],
)
def test_wrong_cpus_are_explained(study: StudyWriter, text: str, key: str, words: str) -> None:
    problem = study.problem(resources=f"resources:\n  cpus: {text}")
    assert (problem.key, problem.line) == (key, 7)
    assert words in problem.fix


@pytest.mark.parametrize(("text", "words"), [("-1", "at least 0"), ("true", "true and false")])
def test_gpus_are_a_number_from_zero(study: StudyWriter, text: str, words: str) -> None:
    assert study.load(resources="resources: {gpus: 0}").resources.gpus == 0
    assert words in study.problem(resources=f"resources: {{gpus: {text}}}").fix
