import pytest

from autotuner.errors import PlanError
from autotuner.launchers.base import Launcher
from autotuner.launchers.registry import load_launcher


@pytest.mark.parametrize("name", ["process", "docker"])
def test_every_launcher_has_the_name_that_it_is_found_by(name):
    launcher = load_launcher(name)
    assert isinstance(launcher, Launcher)
    assert launcher.name == name


@pytest.mark.parametrize("name", ["kubernetes", "ome"])
def test_a_launcher_whose_servers_cannot_be_started_yet_says_so(name):
    with pytest.raises(PlanError, match=f"{name}.* yet"):
        load_launcher(name)
