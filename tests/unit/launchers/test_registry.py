from autotuner.launchers.base import Launcher
from autotuner.launchers.registry import load_launcher
from autotuner.spec.names import LAUNCHERS


def test_every_launcher_has_the_name_that_it_is_found_by():
    for name in LAUNCHERS:
        launcher = load_launcher(name)
        assert isinstance(launcher, Launcher)
        assert launcher.name == name
