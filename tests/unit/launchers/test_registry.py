import pytest

from autotuner.errors import PlanError
from autotuner.launchers.base import Launcher
from autotuner.launchers.registry import load_launcher
from autotuner.spec.names import LAUNCHERS


@pytest.mark.parametrize("name", LAUNCHERS)
def test_every_launcher_has_the_name_that_it_is_found_by(name):
    launcher = load_launcher(name)
    assert isinstance(launcher, Launcher)
    assert launcher.name == name


def test_one_that_a_newer_version_has_is_named_with_those_that_are_there():
    with pytest.raises(PlanError, match="no launcher 'teleport'; it has: process, docker"):
        load_launcher("teleport")
