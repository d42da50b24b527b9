"""A study's metrics at the metrics port of the driver's node, where Ray's own are."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

from ray.util.metrics import Counter, Gauge

from autotuner.execution.metrics import Metric, Sample

__all__ = ["RayMetrics"]

_REFRESH_S = 1.0
"""Ray forgets a gauge that was not set during its last two reports. These are 10 s apart, and by an
operator's choice as little as 1 s."""
_LAST_S = 5.0


class RayMetrics:
    """Keeps what was published last before Ray, until it is closed.

    From a thread of its own, so that nothing that Ray does with metrics can hold the study up.
    """

    def __init__(self) -> None:
        self._samples: tuple[Sample, ...] = ()
        self._made: dict[str, Counter | Gauge] = {}
        self._counted: dict[tuple[str, tuple[str, ...]], float] = {}
        self._closing = threading.Event()
        self._refreshing = threading.Thread(target=self._refresh, name="metrics", daemon=True)
        self._refreshing.start()

    def publish(self, samples: Iterable[Sample]) -> None:
        """Replace what was published before; a gauge that is no longer there fades away."""
        self._samples = tuple(samples)

    def close(self) -> None:
        """Publish for the last time."""
        self._closing.set()
        self._refreshing.join(_LAST_S)

    def _refresh(self) -> None:
        try:
            while not self._closing.wait(_REFRESH_S):
                self._record()
            self._record()
        except Exception:  # whatever it is, the study does not depend on it
            logging.getLogger(__name__).warning("no more metrics of this study", exc_info=True)

    def _record(self) -> None:
        for sample in self._samples:
            tags = dict(zip(sample.metric.tags, sample.tags, strict=True))
            made = self._of(sample.metric)
            if isinstance(made, Gauge):
                made.set(sample.value, tags)
            elif (more := self._not_yet_counted(sample)) > 0:
                made.inc(more, tags)

    def _of(self, metric: Metric) -> Counter | Gauge:
        if metric.name not in self._made:
            kind = Counter if metric.cumulative else Gauge
            self._made[metric.name] = kind(metric.name, metric.description, metric.tags)
        return self._made[metric.name]

    def _not_yet_counted(self, sample: Sample) -> float:
        key = (sample.metric.name, sample.tags)
        before = self._counted.get(key, 0.0)
        self._counted[key] = sample.value
        # Less than before: another study of the same name, which counts from 0.
        return sample.value - before if sample.value >= before else sample.value
