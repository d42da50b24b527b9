"""One life of a driver in the scale benchmark: from its start to its end, or to a kill -9.

Usage: python tests/bench/scale_life.py OPTIONS, a JSON object; prints one. See `scale.py`.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import scale_load
from scale_load import planned
from virtual_clock import CLOCK  # before any module of the driver
from virtual_cluster import VirtualCluster

from autotuner.driver.loop import StudyDriver
from autotuner.driver.resume import close_torn_attempts, past_of
from autotuner.results.load import load_results
from autotuner.results.lock import sole_writer
from autotuner.results.store import ResultStore
from autotuner.study import record_of

__all__: list[str] = []

_LATEST_BLOW_S = 0.05
"""Real seconds between the moment of a kill and the kill: it hits whatever is being written."""


class Timed(StudyDriver):
    """The driver, its placement rounds timed in CPU seconds of its thread."""

    def _dispatch(self) -> None:
        waiting, began = len(self._running), time.thread_time()
        super()._dispatch()
        rounds.append((time.thread_time() - began, len(self._running) - waiting))


rounds: list[tuple[float, int]] = []
"""Seconds of each, and how many attempts it started."""


@dataclass
class Death:
    """A kill -9 at a virtual time."""

    at_s: float
    seed: int
    coming: bool = field(default=False, init=False)

    def __call__(self, now: float) -> None:
        if now >= self.at_s and not self.coming:
            self.coming = True
            delay_s = random.Random(f"{self.seed} {self.at_s}").uniform(0, _LATEST_BLOW_S)
            threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGKILL)).start()


def live(
    folder: Path, experiments: int, nodes: int, seed: int, die_at_s: float | None, read: bool
) -> None:
    began = time.process_time()
    study = planned(experiments, folder)
    planned_s = time.process_time() - began
    cluster = VirtualCluster(nodes, seed)
    if die_at_s is not None:
        cluster.at = Death(die_at_s, seed)
    with sole_writer(folder) as writing:
        store = ResultStore.create(writing.place, record_of(study))
        close_torn_attempts(study, store)
        past = past_of(study, store, retry_failed=False)
        start_s = time.process_time() - began
        CLOCK.restart()
        stop = threading.Event()
        Timed(study, store, cluster, past, on_event=lambda event: None, interrupt=stop).run()
        run_s = time.process_time() - began - start_s
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.process_time()
    if read:
        load_results(folder).ranking()
    placing_ms = sorted(1000 * spent for spent, started in rounds if started)
    all_ms = sorted(1000 * spent for spent, _ in rounds)
    wide = cluster.started_s[max(cluster.started_s)]
    first_s = min(started[0] for started in cluster.started_s.values())
    print(
        json.dumps(
            {
                "makespan_s": max(cluster.ends_s),
                "all_but_0.1%_s": quantile(sorted(cluster.ends_s), 0.999),
                "busy_gpu_s": cluster.busy_gpu_s,
                "widest_first_s": wide[0] - first_s,
                "widest_last_s": wide[-1] - first_s,
                "placement_p50_ms": quantile(placing_ms, 0.5),
                "placement_p99_ms": quantile(placing_ms, 0.99),
                "placement_max_ms": placing_ms[-1],
                "rounds": len(rounds),
                "rounds_that_start": len(placing_ms),
                "all_rounds_p99_ms": quantile(all_ms, 0.99),
                "driver_rss_mb": rss_mb,
                "driver_cpu_s": run_s,
                "plan_cpu_s": planned_s,
                "resume_cpu_s": start_s - planned_s,
                "reading_cpu_s": time.process_time() - began,
            }
        )
    )


def quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    scale_load.CRASHED, scale_load.MIX = options.pop("crashes"), options.pop("mix")
    live(Path(options.pop("folder")), **options)
