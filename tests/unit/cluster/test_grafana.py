"""The dashboard draws what a study publishes, all of it and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from autotuner.driver.study_metrics import METRICS

FOLDER = Path(__file__).parents[3] / "cluster" / "grafana"
BOARD: dict[str, Any] = json.loads((FOLDER / "autotuner.json").read_text())
EXPRESSIONS = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
VARIABLES = {variable["name"]: variable for variable in BOARD["templating"]["list"]}
BY_NAME = {f"ray_{metric.name}": metric for metric in METRICS}


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"ray_\w+", expression))


def test_every_metric_has_a_panel_and_every_panel_draws_metrics_that_there_are() -> None:
    assert set().union(*map(metrics_in, EXPRESSIONS)) == set(BY_NAME)
    assert all(metrics_in(expression) for expression in EXPRESSIONS)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_only_tags_that_its_metrics_have(expression: str) -> None:
    known = set.union(*(set(BY_NAME[name].tags) for name in metrics_in(expression)))
    matched = set(re.findall(r'(\w+)=~?"', expression))
    grouped = {word for by in re.findall(r"by \(([^)]*)\)", expression) for word in by.split(", ")}
    assert matched | grouped <= known


def test_a_panel_is_of_the_chosen_studies_in_the_chosen_data_source() -> None:
    assert set(VARIABLES) == {"datasource", "study"}
    assert VARIABLES["datasource"]["type"] == "datasource"
    for panel in BOARD["panels"]:
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${datasource}"}
        for target in panel["targets"]:
            used = len(re.findall("ray_", target["expr"]))
            assert target["expr"].count('study=~"$study"') == used
    assert metrics_in(VARIABLES["study"]["query"]["query"]) <= set(BY_NAME)


def test_a_legend_uses_what_its_expression_groups_by() -> None:
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            (grouped, *_) = re.findall(r"by \(([^)]*)\)", target["expr"])
            assert named <= set(grouped.split(", ")), panel["title"]


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_grafana_knows_every_key_and_loses_none() -> None:
    """Read and written by Grafana's own types, which drop what they do not know."""
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    known = json.loads(encoder.JSONEncoder(sort_keys=True).encode(Dashboard.from_json(BOARD)))
    assert lost(BOARD, known, "") == []


def lost(ours: Any, theirs: Any, place: str) -> list[str]:
    if isinstance(ours, dict):
        return [
            line
            for key, value in ours.items()
            for line in (
                lost(value, theirs[key], f"{place}.{key}") if key in theirs else [f"{place}.{key}"]
            )
        ]
    if isinstance(ours, list):
        pairs = zip(ours, theirs, strict=True)
        return [line for n, (a, b) in enumerate(pairs) for line in lost(a, b, f"{place}[{n}]")]
    return [] if ours == theirs else [place]


def test_a_newer_board_replaces_an_older_one() -> None:
    assert BOARD["uid"] == "autotuner"
    assert "id" not in BOARD  # of one Grafana's database
    assert BOARD["schemaVersion"] >= 36  # since when a data source has a type and a uid


def test_the_provider_of_the_dashboard_is_as_grafana_reads_it() -> None:
    content = yaml.safe_load((FOLDER / "provider.yaml").read_text())
    assert content["apiVersion"] == 1
    (provider,) = content["providers"]
    assert provider["type"] == "file"
    assert Path(provider["options"]["path"]).is_absolute()
