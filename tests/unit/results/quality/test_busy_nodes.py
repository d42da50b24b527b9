import pytest

from autotuner.results.quality.busy_nodes import busy_nodes
from autotuner.results.quality.finding import Severity


@pytest.fixture
def on_cpus(draft):
    """The study on servers without GPUs, on nodes of four CPUs."""
    draft.change_all(gpus=0, neighbours_mean=0.0, node_cpus=4, own_cpus=1.4, foreign_cpus=0.1)
    return draft


def test_a_study_on_nodes_that_others_kept_busy_is_no_study_of_quiet_ones(on_cpus, only):
    on_cpus.change_all(foreign_cpus=2.0)
    finding = only(busy_nodes, on_cpus)
    assert (finding.kind, finding.severity) == ("busy_nodes", Severity.WARNING)
    assert "others used 50% of the nodes' CPUs, on average over" in finding.message
    assert "e32" in finding.experiment_ids


@pytest.mark.parametrize(("foreign", "is_named"), [(0.1, False), (0.9, False), (1.1, True)])
def test_it_counts_from_a_quarter_of_the_cpus(on_cpus, found, foreign, is_named):
    on_cpus.change_all(foreign_cpus=foreign)
    assert bool(found(busy_nodes, on_cpus)) is is_named


def test_one_level_beside_others_is_not_the_whole_study(on_cpus, found):
    on_cpus.change("e16", 8, foreign_cpus=4.0)
    assert found(busy_nodes, on_cpus) == []


@pytest.mark.parametrize(
    "circumstance",
    [{"gpus": 1}, {"neighbours_mean": 1.0}, {"simulated": True}, {"foreign_cpus": None}],
)
def test_servers_on_gpus_neighbours_of_the_study_and_unknown_loads_are_left_out(
    on_cpus, found, circumstance
):
    on_cpus.change_all(foreign_cpus=3.0)
    on_cpus.change_all(**circumstance)
    assert found(busy_nodes, on_cpus) == []
