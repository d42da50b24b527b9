"""What `autotuner plan` says of a search and of the cost of any study."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotuner.cli.main import main

STUDY = """
study: planned
engine: {name: vllm}
model: org/model
parameters:
  max-num-seqs: {min: 1, max: 1024, scale: log}
  max-num-batched-tokens: {min: 256, max: 16384, count: 40}
  enable-prefix-caching: [true, false]
  pair: {type: tied, values: [{block-size: 16}, {block-size: 32, seed: 1}]}
workloads: [{scenario: 'D(100,50)', concurrency: [1, 8], stop: {seconds: 869}}]
objective: {name: maximize_throughput, over: best}
finalist_servers: 1
baseline: false
"""


def planned(capsys: pytest.CaptureFixture[str], folder: Path, more: str = "", *options: str) -> str:
    path = folder / "study.yaml"
    path.write_text(STUDY + more)
    assert main(["plan", str(path), *options]) == 0
    return capsys.readouterr().out


SEARCH = "search: {strategy: tpe, max_experiments: 8, stop_when: {no_improvement: 4}}\n"


def test_a_search_is_told_with_its_candidates_limits_and_values(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = planned(capsys, tmp_path, SEARCH)
    assert (
        "search: tpe chooses among 1,760 candidates; up to 8 experiments; until 4 experiments in "
        "a row better nothing by 2 %"
    ) in text
    assert "max-num-seqs: 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024\n" in text
    assert "..., " in text
    assert "(40 values)" in text
    assert "pair: {block-size: 16}, {block-size: 32, seed: 1}" in text
    assert "in the order in which tpe asks" in text


def test_of_many_candidates_the_first_are_shown_unless_all_are_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = planned(capsys, tmp_path, SEARCH)
    assert text.count("vllm serve") == 20
    assert "and 1,740 more candidates (--all)" in text
    assert planned(capsys, tmp_path, SEARCH, "--all").count("vllm serve") == 1760


def test_a_drawn_pool_says_of_how_many(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    search = "search: {strategy: random, seed: 3, max_candidates: 100}\n"
    text = planned(capsys, tmp_path, search)
    assert "among 100 candidates, drawn evenly from 1,760 combinations with the seed 3" in text


def test_the_cost_is_told_with_time_and_price_where_they_can_be(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = planned(capsys, tmp_path, SEARCH + "usd_per_gpu_hour: 2.5\n", "--gpus", "4")
    (row,) = (line for line in text.splitlines() if "the search" in line)
    assert row.split() == [
        "the",
        "search",
        "up",
        "to",
        "8",
        "4.0",
        "4.0",
        "h",
        "60",
        "min",
        "10.00",
    ]
    assert "every level runs to its time limit" in text
    assert "--gpus N" not in text


def test_of_a_grid_the_cost_is_told_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = planned(capsys, tmp_path, "max_gpus: 8\n")
    (row,) = (line for line in text.splitlines() if "every combination" in line)
    assert row.split()[2:] == ["1,760", "880.0", "36.7", "days", "4.6", "days"]


def test_where_nothing_says_how_many_gpus_there_are_the_way_to_say_it_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "--gpus N" in planned(capsys, tmp_path, SEARCH)


def test_servers_without_gpus_have_no_gpu_hours(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = planned(capsys, tmp_path, SEARCH + "resources: {gpus: 0}\n")
    assert "GPU-hours" not in text
    assert "one by one" in text


def test_a_search_that_could_not_begin_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "study.yaml"
    rule = "search: {strategy: random, stop_when: {expected_gain_below: 0.01}}\n"
    path.write_text(STUDY + rule)
    assert main(["plan", str(path)]) == 1
    assert "search.stop_when.expected_gain_below" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_number_of_gpus_is_at_least_one(tmp_path: Path, value: str) -> None:
    with pytest.raises(SystemExit):
        main(["plan", str(tmp_path / "study.yaml"), "--gpus", value])
