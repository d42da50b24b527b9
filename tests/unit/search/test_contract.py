"""The contract, run over every strategy of ours."""

from __future__ import annotations

from autotuner.search.contract import StrategyContract
from autotuner.search.registry import load_strategy


class TestGrid(StrategyContract):
    strategy = load_strategy("grid")


class TestRandom(StrategyContract):
    strategy = load_strategy("random")


class TestSobol(StrategyContract):
    strategy = load_strategy("sobol")


class TestTpe(StrategyContract):
    strategy = load_strategy("tpe")


class TestNsga2(StrategyContract):
    strategy = load_strategy("nsga2")
