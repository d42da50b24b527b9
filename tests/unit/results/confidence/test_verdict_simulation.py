"""Verdicts over simulated studies whose true best is known; `tests/bench/verdicts.py` in small."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from autotuner.results.confidence import rivals

BENCH = Path(__file__).parents[3] / "bench" / "verdicts.py"
STUDIES = 100


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verdicts_bench", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("cv", [0.003, 0.02, 0.2])
@pytest.mark.parametrize("shape", ["near ties", "clear winner", "plateau", "all within 0.2 %"])
def test_the_true_best_is_in_the_declared_set(bench: ModuleType, shape: str, cv: float) -> None:
    kind = (8, 5, shape, "unequal", cv)
    (row,) = bench.simulate([kind], STUDIES, seed=7).values()
    assert row.contains_best >= 0.95 * STUDIES
    assert row.false_winner <= 0.05 * STUDIES


def test_a_clear_winner_is_declared_where_the_noise_allows(bench: ModuleType) -> None:
    kind = (1, 5, "clear winner", "heavy tails", 0.01)
    (row,) = bench.simulate([kind], STUDIES, seed=7).values()
    assert row.winner >= 0.9 * STUDIES
    assert row.extra <= 6 * STUDIES


def test_a_rule_that_asks_for_no_evidence_would_be_found(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With bounds of no width, winners are declared at once, and wrong ones."""
    monkeypatch.setattr(rivals, "half_widths", lambda _leader, others, *_: [0.0] * len(others))
    kind = (8, 5, "near ties", "log-normal", 0.05)
    (row,) = bench.simulate([kind], STUDIES, seed=7).values()
    assert row.false_winner > 0.05 * STUDIES
    assert not row.is_right
