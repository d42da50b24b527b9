import subprocess
import sys

import pytest

import autotuner


def in_a_fresh_python(code):
    """What the code prints in an interpreter that has imported nothing of ours yet."""
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return answer.stdout.split()


def test_the_public_names_are_those_of_all():
    assert autotuner.__all__ == [
        "AutotunerError",
        "Plan",
        "StudyFileError",
        "StudyResults",
        "StudySpec",
        "UserError",
        "__version__",
        "load_results",
        "plan",
        "run",
    ]


@pytest.mark.parametrize("name", autotuner.__all__)
def test_every_public_name_is_there(name):
    value = getattr(autotuner, name)
    assert value is not None
    assert getattr(value, "__name__", name) == name


def test_a_star_import_brings_the_public_names_and_nothing_else():
    code = (
        "before = set(dir()); from autotuner import *; print(*(set(dir()) - before - {'before'}))"
    )
    assert set(in_a_fresh_python(code)) == set(autotuner.__all__)


def test_public_names_are_listed_before_they_are_used():
    assert set(in_a_fresh_python("import autotuner; print(*dir(autotuner))")) >= set(
        autotuner.__all__
    )


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'tune'"):
        autotuner.tune  # noqa: B018


@pytest.mark.parametrize("module", ["autotuner", "autotuner.engines.sim_server"])
def test_an_import_is_quick_because_it_loads_no_large_package(module):
    code = f"import sys, {module}; print(*sys.modules)"
    assert not {"pandas", "pyarrow", "ray", "pydantic"} & set(in_a_fresh_python(code))


def test_planning_and_running_do_not_load_ray_until_it_is_needed():
    code = "import sys, autotuner; autotuner.run, autotuner.plan; print(*sys.modules)"
    assert "ray" not in in_a_fresh_python(code)
