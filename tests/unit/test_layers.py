"""The architecture's rules of who may import whom, read from the source."""

import ast
import sys
from pathlib import Path

import pytest

import autotuner

ROOT = Path(autotuner.__file__).parent

# From the bottom up; a room imports those below it, and of its own layer only itself.
LAYERS = (
    ("errors", "version"),
    ("spec",),
    ("results",),
    ("supervision",),
    ("kubernetes_api",),
    ("engines", "launchers", "bench"),
    ("search",),
    ("resolving",),
    ("planning", "node"),
    ("execution",),
    ("driver",),
    ("study",),
    ("report", "export"),
    ("cli",),
)
LEVELS = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

RAY_MODULES = {
    "execution/on_ray.py",
    "execution/ray_actor.py",
    "execution/ray_cluster.py",
    "execution/ray_connection.py",
    "execution/ray_growth.py",
    "execution/ray_logs.py",
    "execution/ray_metrics.py",
    "execution/ray_nodes.py",
    "execution/ray_ranks.py",
}
GENAI_BENCH_MODULES = {"bench/genai_bench_shim.py"}
AICONFIGURATOR_MODULES = {"search/estimators/aiconfigurator_worker.py"}
FOREIGN_MODULES = GENAI_BENCH_MODULES | AICONFIGURATOR_MODULES | {"bench/genai_bench_workers.py"}
STANDARD_LIBRARY_ONLY = {"supervision/supervisor.py"}
FORBIDDEN_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "misc"}
MOST_LINES = 320


MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
PARTS = [module for module in MODULES if module != "__init__.py"]


def imports(module):
    """Full names of the modules that a file imports anywhere, in functions too."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: write imports in full"
            name = node.module or ""
            # `from autotuner.cli import run` imports a module as well as a name can.
            found |= {f"{name}.{alias.name}" for alias in node.names}
    return found


def room_of(module):
    return Path(module).with_suffix("").parts[0]


def rooms_imported(module):
    ours = {name for name in imports(module) if name.split(".")[0] == "autotuner"}
    assert "autotuner" not in ours, f"{module} imports the whole package"
    return {name.split(".")[1] for name in ours}


@pytest.mark.parametrize("module", PARTS)
def test_every_room_has_a_place_in_the_layers(module):
    assert room_of(module) in LEVELS


@pytest.mark.parametrize("module", PARTS)
def test_imports_point_downward_and_never_to_a_sibling(module):
    own = room_of(module)
    rooms = rooms_imported(module) - {own}
    assert {room for room in rooms if LEVELS[room] >= LEVELS[own]} == set()


def test_a_sibling_import_would_be_found(monkeypatch):
    monkeypatch.setitem(globals(), "imports", lambda _: {"autotuner.engines.base.Engine"})
    with pytest.raises(AssertionError):
        test_imports_point_downward_and_never_to_a_sibling("bench/base.py")


def test_nothing_in_the_driver_imports_its_loop():
    loop = "autotuner.driver.loop"
    parts = [m for m in MODULES if room_of(m) == "driver"]
    assert not [m for m in parts if any(name.startswith(loop) for name in imports(m))]


def test_events_are_told_without_knowing_what_tells_them():
    told = {name for name in imports("driver/progress.py") if name.startswith("autotuner.driver")}
    assert told == set()


def importers_of(package):
    return {m for m in MODULES if any(name.split(".")[0] == package for name in imports(m))}


def test_ray_is_imported_where_attempts_become_actors_and_nowhere_else():
    assert importers_of("ray") == RAY_MODULES


def test_genai_bench_is_imported_by_its_shim_alone():
    assert importers_of("genai_bench") == GENAI_BENCH_MODULES


def test_aiconfigurator_is_imported_by_its_worker_alone():
    assert importers_of("aiconfigurator") == AICONFIGURATOR_MODULES


def test_nobody_imports_a_module_that_imports_genai_bench():
    shim = "autotuner.bench.genai_bench_shim"
    assert not [m for m in MODULES if any(name.startswith(shim) for name in imports(m))]


@pytest.mark.parametrize("module", sorted(STANDARD_LIBRARY_ONLY | FOREIGN_MODULES))
def test_what_runs_in_a_foreign_python_imports_nothing_of_ours(module):
    assert not rooms_imported(module)


@pytest.mark.parametrize("module", sorted(STANDARD_LIBRARY_ONLY))
def test_the_supervisor_imports_the_standard_library_alone(module):
    packages = {name.split(".")[0] for name in imports(module)}
    assert packages <= {*sys.stdlib_module_names, "__future__"}


@pytest.mark.parametrize("module", MODULES)
def test_no_module_has_a_name_that_says_nothing(module):
    words = {word for part in Path(module).with_suffix("").parts for word in part.split("_")}
    assert not words & FORBIDDEN_NAMES


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_too_long_to_read_at_once(module):
    assert len((ROOT / module).read_text().splitlines()) <= MOST_LINES
