"""What is told to Ray's metrics, and when; whether Ray shows it, tests/ray finds out."""

from __future__ import annotations

import logging

import pytest

from autotuner.execution import ray_metrics
from autotuner.execution.metrics import Metric, Sample
from autotuner.execution.ray_metrics import RayMetrics

RUNNING = Metric("autotuner_running", "how many", ("study",))
DONE = Metric("autotuner_done_total", "how many", ("study",), cumulative=True)


class Told:
    """In place of Ray's metrics: every call, in order."""

    def __init__(self, monkeypatch):
        self.calls = []
        self.error = None
        told = self

        class Gauge:
            def __init__(self, name, description, tags):
                self.name = name

            def set(self, value, tags):
                told.tell(self.name, value, tags)

        class Counter:
            __init__ = Gauge.__init__
            inc = Gauge.set

        monkeypatch.setattr(ray_metrics, "Gauge", Gauge)
        monkeypatch.setattr(ray_metrics, "Counter", Counter)

    def tell(self, name, value, tags):
        if self.error is not None:
            raise self.error
        self.calls.append((name, value, tags["study"]))

    def values(self, name):
        return [value for called, value, _ in list(self.calls) if called == name]


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setattr(ray_metrics, "_REFRESH_S", 0.01)
    return Told(monkeypatch)


@pytest.fixture
def metrics(told):
    made = RayMetrics()
    yield made
    made.close()


def test_a_gauge_is_set_again_and_again(told, metrics, wait_until):
    """Ray forgets it otherwise."""
    metrics.publish([Sample(RUNNING, ("s",), 3)])
    assert wait_until(lambda: len(told.values(RUNNING.name)) >= 3)
    metrics.publish([])
    metrics.close()
    assert set(told.values(RUNNING.name)) == {3}


def test_a_counter_is_told_what_has_been_added(told, metrics, wait_until):
    for value in (2, 2, 5):
        metrics.publish([Sample(DONE, ("s",), value)])
        assert wait_until(lambda value=value: sum(told.values(DONE.name)) == value)
    assert told.values(DONE.name) == [2, 3]


def test_another_study_of_the_same_name_counts_from_zero(told, metrics, wait_until):
    for value, total in ((5, 5), (1, 6)):
        metrics.publish([Sample(DONE, ("s",), value)])
        assert wait_until(lambda total=total: sum(told.values(DONE.name)) == total)


def test_what_was_published_last_is_told_before_the_end(told, monkeypatch):
    monkeypatch.setattr(ray_metrics, "_REFRESH_S", 3600.0)
    metrics = RayMetrics()
    metrics.publish([Sample(DONE, ("s",), 7)])
    metrics.close()
    assert told.values(DONE.name) == [7]


def test_trouble_with_rays_metrics_is_told_once_and_ends_only_them(
    told, metrics, wait_until, caplog
):
    told.error = RuntimeError("no agent")
    with caplog.at_level(logging.WARNING):
        metrics.publish([Sample(RUNNING, ("s",), 3)])
        assert wait_until(lambda: not metrics._refreshing.is_alive())
        metrics.publish([Sample(RUNNING, ("s",), 4)])
        metrics.close()
    assert caplog.text.count("no more metrics of this study") == 1
