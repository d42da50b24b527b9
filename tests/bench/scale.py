"""A thousand GPUs and ten thousand experiments, on a virtual clock.

    .venvs/autotuner/bin/python tests/bench/scale.py [--quick] [--gpus 1000] [--experiments 10000]

The driver, its placement, its failure rules and its results folder are the real ones. Only the
attempts are not: an executor without a cluster lets each take the time that a server start and
its load would take (`scale_load`), which the driver is not told. One study runs undisturbed; a
second one has its driver killed five times (kill -9, also amid a write) and is resumed. Rivals run
the same load (`rivals`). `docs/scale.md` says what the numbers mean.

Prints tables and, as its last line, a JSON object. Decides nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import scale_load
from rivals import RIVALS, Record, Task, run_rival
from scale_load import GPUS_PER_NODE, experiment_seconds, planned

from autotuner.planning import Plan
from autotuner.results.files import read_tables
from autotuner.results.levels import LevelStatus
from autotuner.results.schema import LEVELS, experiments_schema, file_schema
from autotuner.results.store import ResultStore
from autotuner.spec.experiment import FailureKind, Purpose

KILLS = 5
HERE = Path(__file__).parent
MEMORY = Path("/dev/shm")
"""Files are written there where it exists: the disk of one machine is not what is measured."""


@dataclass(frozen=True)
class Size:
    experiments: int
    nodes: int
    seed: int

    @property
    def gpus(self) -> int:
        return self.nodes * GPUS_PER_NODE


@dataclass(frozen=True)
class Work:
    tasks: tuple[Task, ...]
    """In the order in which they are handed in."""
    gpu_s: float
    longest_s: float

    @staticmethod
    def of(plan: Plan, seed: int) -> Work:
        tasks = tuple(
            Task(one.footprint.gpus, experiment_seconds(one, seed)) for one in plan.in_order
        )
        gpu_s = sum(task.gpus * sum(task.seconds) for task in tasks)
        return Work(tasks, gpu_s, max(sum(task.seconds) for task in tasks))

    def least_s(self, gpus: int) -> float:
        """No dispatcher can be done before: all GPUs busy all the time, or the longest chain."""
        return max(self.gpu_s / gpus, self.longest_s)


def main() -> None:
    parser = argparse.ArgumentParser(description="the driver at scale, on a virtual clock")
    parser.add_argument("--gpus", type=int, default=1000)
    parser.add_argument("--experiments", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--mix",
        type=lambda text: tuple(map(int, text.split(","))),
        default=scale_load.MIX,
        help="widths, each as often as it is named, at most four times",
    )
    parser.add_argument(
        "--crashes", type=float, default=0.0, help="share of experiments that crash once"
    )
    parser.add_argument("--quick", action="store_true", help="80 GPUs and 400 experiments")
    parser.add_argument("--folder", type=Path, default=MEMORY if MEMORY.is_dir() else None)
    asked = parser.parse_args()
    gpus, experiments = (80, 400) if asked.quick else (asked.gpus, asked.experiments)
    scale_load.CRASHED, scale_load.MIX = asked.crashes, asked.mix
    if gpus % GPUS_PER_NODE or experiments % len(scale_load.MIX) or min(gpus, experiments) < 1:
        parser.error(
            f"--gpus must be a multiple of {GPUS_PER_NODE}, and --experiments one of "
            f"{len(scale_load.MIX)}"
        )
    size = Size(experiments, gpus // GPUS_PER_NODE, asked.seed)
    plan = planned(size.experiments, Path("unused"))
    work = Work.of(plan, size.seed)
    with tempfile.TemporaryDirectory(dir=asked.folder, prefix="autotuner-scale-") as folder:
        found = ours(Path(folder), plan, size, work.least_s(size.gpus))
    deaths = found.pop("deaths_s")
    assert isinstance(deaths, list)
    found["rivals"] = {name: rival(name, work, size, deaths) for name in RIVALS}
    show(size, work, found)
    print(json.dumps(found))


def ours(folder: Path, plan: Plan, size: Size, least_s: float) -> dict[str, object]:
    whole = life(folder / "undisturbed", size, read=True)
    assert whole is not None
    draw = random.Random(size.seed)
    deaths = [least_s / (KILLS + 1) * draw.uniform(0.3, 1.7) for _ in range(KILLS)]
    torn = folder / "killed"
    for die_at_s in deaths:
        assert life(torn, size, die_at_s) is None, "it was to be killed"
    last = life(torn, size)
    assert last is not None
    return {
        "makespan_ratio": round(whole["makespan_s"] / least_s, 4),
        "all_but_0.1%_ratio": round(whole["all_but_0.1%_s"] / least_s, 4),
        "placement_p99_ms": round(whole["placement_p99_ms"], 3),
        "driver_rss_mb": round(whole["driver_rss_mb"], 1),
        **audit(torn, plan),
        "undisturbed": {name: round(number, 3) for name, number in whole.items()},
        "last_life": {name: round(number, 3) for name, number in last.items()},
        "deaths_s": deaths,
    }


def life(
    folder: Path, size: Size, die_at_s: float | None = None, *, read: bool = False
) -> dict[str, float] | None:
    """What the driver's process says of itself; None where it was killed.

    Args:
        read: Whether to read all results at its end, too.
    """
    options = {
        "folder": str(folder),
        "experiments": size.experiments,
        "nodes": size.nodes,
        "seed": size.seed,
        "crashes": scale_load.CRASHED,
        "mix": scale_load.MIX,
        "die_at_s": die_at_s,
        "read": read,
    }
    command = [sys.executable, str(HERE / "scale_life.py"), json.dumps(options)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode == -9:
        return None
    done.check_returncode()
    numbers: dict[str, float] = json.loads(done.stdout)
    print(f"a life to the end: {json.dumps(numbers)}", file=sys.stderr)
    return numbers


def audit(folder: Path, plan: Plan) -> dict[str, int]:
    """What the files of a study say that was killed: lost, doubled, and attempts cut off."""
    store = ResultStore.open(folder)
    study = store.study
    schema = file_schema(experiments_schema(study.parameters), study.study_id)
    attempts = read_tables(store.paths.experiments, schema).to_pylist()
    levels = read_tables(store.paths.levels, file_schema(LEVELS, study.study_id)).to_pylist()
    measured = Counter(row["attempt_id"] for row in levels if row["status"] == LevelStatus.OK)
    expected = {one.id: len(one.levels) for one in plan.experiments}
    completed = Counter(
        row["experiment_id"]
        for row in attempts
        if row["outcome"] == "completed"
        and row["purpose"] == Purpose.SEARCH
        and measured[row["attempt_id"]] == expected[row["experiment_id"]]
    )
    settled = {
        row["experiment_id"]
        for row in attempts
        if row["failure_kind"] and FailureKind(row["failure_kind"]).permanent
    }
    torn = store.torn_attempts()
    return {
        "lost": len(set(expected) - set(completed) - settled) + len(torn),
        "doubled": sum(times > 1 for times in completed.values()),
        "cut_off": sum(row["outcome"] == "cancelled" for row in attempts),
    }


def rival(name: str, work: Work, size: Size, deaths: list[float]) -> dict[str, object]:
    """In a process of its own, for its memory."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(run_one, (name, work, size, deaths))


def run_one(name: str, work: Work, size: Size, deaths: list[float]) -> dict[str, object]:
    nodes = [GPUS_PER_NODE] * size.nodes
    whole, killed = Record(), Record()
    run_rival(RIVALS[name](nodes), work.tasks, whole)
    for die_at_s in deaths:
        run_rival(RIVALS[name](nodes), work.tasks, killed, killed_at_s=die_at_s)
    run_rival(RIVALS[name](nodes), work.tasks, killed)
    rounds = sorted(whole.rounds_s)
    wide = whole.started_s[max(whole.started_s)]
    return {
        "makespan_ratio": round(whole.ends_s[-1] / work.least_s(size.gpus), 4),
        "all_but_0.1%_ratio": round(
            whole.ends_s[int(0.999 * len(whole.ends_s))] / work.least_s(size.gpus), 4
        ),
        "placement_p99_ms": round(1000 * rounds[int(0.99 * len(rounds))], 3),
        "driver_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "lost": len(work.tasks) - len(killed.completed),
        "doubled": sum(times > 1 for times in killed.completed.values()),
        "widest_first_s": round(wide[0], 1),
        "widest_last_s": round(wide[-1], 1),
    }


def show(size: Size, work: Work, found: dict[str, object]) -> None:
    least_s = work.least_s(size.gpus)
    print(
        f"{size.experiments} experiments on {size.gpus} GPUs in {size.nodes} nodes, seed "
        f"{size.seed}: {work.gpu_s / 3600:.0f} GPU-hours, so no less than {least_s / 3600:.2f} h; "
        f"the longest experiment takes {work.longest_s:.0f} s"
    )
    whole, last, rivals = found["undisturbed"], found["last_life"], found["rivals"]
    assert isinstance(whole, dict)
    assert isinstance(last, dict)
    assert isinstance(rivals, dict)
    heads = [
        "",
        "makespan",
        "x bound",
        "all but 0.1 %",
        "widest started",
        "placing p99",
        "RSS",
        "lost",
        "doubled",
    ]
    print("  ".join(f"{head:>{width(head)}}" for head in heads))
    own = {**found, **whole, "placement_p99_ms": found["placement_p99_ms"]}
    for name, row in {"autotuner": own, **rivals}.items():
        ratio = row["makespan_ratio"]
        cells = [
            name,
            f"{ratio * least_s / 3600:.2f} h",
            f"{ratio:.3f}",
            f"{row['all_but_0.1%_ratio']:.3f}",
            f"{row['widest_first_s'] / 60:.0f} .. {row['widest_last_s'] / 60:.0f} min",
            f"{row['placement_p99_ms']:.2f} ms",
            f"{row['driver_rss_mb']:.0f} MB",
            str(row["lost"]),
            str(row["doubled"]),
        ]
        print("  ".join(f"{c:>{width(h)}}" for h, c in zip(heads, cells, strict=True)))
    print(
        f"autotuner: {whole['rounds_that_start']:.0f} rounds that started something, p50 "
        f"{whole['placement_p50_ms']:.2f}, max {whole['placement_max_ms']:.0f} ms; all "
        f"{whole['rounds']:.0f} rounds p99 {whole['all_rounds_p99_ms']:.2f} ms\n"
        f"CPU seconds of the driver's process: plan {whole['plan_cpu_s']:.1f}, run "
        f"{whole['driver_cpu_s']:.0f}, reading all results {whole['reading_cpu_s']:.0f}, resume "
        f"before the last life {last['resume_cpu_s']:.1f}\n"
        f"killed {KILLS} times: {found['cut_off']} attempts that were cut off had left files"
    )


def width(head: str) -> int:
    return {"": 22, "widest started": 18}.get(head, max(len(head), 9))


if __name__ == "__main__":
    main()
