"""Which levels of which configurations nobody beats in throughput, interactivity and TTFT."""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np
import numpy.typing as npt
import pandas as pd

from autotuner.results.levels import LevelStatus
from autotuner.results.load import StudyResults
from autotuner.results.score import EntryStatus

__all__ = ["non_dominated", "pareto_points"]

_KEYS = ["experiment_id", "label", "workload", "concurrency"]
_PER_GPU = "output_throughput_tok_s_per_gpu"
_PER_SERVER = "output_throughput_tok_s"


def pareto_points(results: StudyResults) -> pd.DataFrame:
    """Every usable level of every configuration as a point, and whether it is on the front.

    A level is usable when it is ok and has all three numbers, and its experiment has neither
    failed nor been measured under other circumstances than the rest. Repeats and fresh servers
    are pooled. Limits and objective play no role: the front is there to be chosen from.

    Columns:
        experiment_id, label, workload, concurrency.
        throughput_tok_s_per_gpu: Output tokens per second and GPU; of the whole server in a
            study without GPUs.
        per: ``GPU`` or ``server``, what the throughput is per; the same in all rows.
        interactivity_tok_s: Tokens per second that one user sees, ``1 / tpot_s_p50``.
        ttft_s_p50: Seconds to the first token, the median over requests.
        on_front: Whether no other level of the same workload is at least as good in all three
            numbers and better in one. Workloads stay apart: short prompts would beat long ones.
            Levels that are equal in all three are on it together.

    In plan order of the experiments, then by workload and concurrency.
    """
    levels = _usable(results)
    per_gpu = bool(levels[_PER_GPU].notna().any())
    tpot_s = levels["tpot_s_p50"].astype(float)
    points = levels[_KEYS].assign(
        throughput_tok_s_per_gpu=levels[_PER_GPU if per_gpu else _PER_SERVER].astype(float),
        per="GPU" if per_gpu else "server",
        interactivity_tok_s=1.0 / tpot_s.where(tpot_s > 0),
        ttft_s_p50=levels["ttft_s_p50"].astype(float),
    )
    points = _in_plan_order(points.dropna(), results).reset_index(drop=True)
    points["on_front"] = False
    for _, of_workload in points.groupby("workload"):
        better = of_workload[["throughput_tok_s_per_gpu", "interactivity_tok_s"]].to_numpy(float)
        quick = -of_workload[["ttft_s_p50"]].to_numpy(float)
        points.loc[of_workload.index, "on_front"] = non_dominated(np.hstack([better, quick]))
    return points


def non_dominated(points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which of the points nobody beats; one point per row, three columns, larger is better.

    A point is beaten by one that is at least as good in all columns and better in one; equal
    points do not beat each other. Takes ``n log n`` comparisons.
    """
    rows = np.asarray(points, dtype=float).reshape(-1, 3)
    unique, place = np.unique(rows, axis=0, return_inverse=True)
    on_front = np.zeros(len(unique), dtype=bool)
    # The second and third columns of what came so far and is not beaten there: as the second
    # grows, the third falls. Whoever comes later is no better in the first column.
    stairs: list[tuple[float, float]] = []
    for index in range(len(unique) - 1, -1, -1):
        second, third = unique[index, 1], unique[index, 2]
        at = bisect_left(stairs, (second, -np.inf))
        if at < len(stairs) and stairs[at][1] >= third:
            continue
        on_front[index] = True
        upto = at + 1 if at < len(stairs) and stairs[at][0] == second else at
        start = upto
        while start and stairs[start - 1][1] <= third:
            start -= 1
        del stairs[start:upto]
        insort(stairs, (second, third))
    return on_front[place.reshape(-1)]


def _usable(results: StudyResults) -> pd.DataFrame:
    entries = results.ranking().entries
    apart = {e.experiment_id for e in entries if e.status is EntryStatus.NOT_COMPARABLE}
    ended = results.experiments
    counting = {attempt for attempts in results.chosen.values() for attempt in attempts}
    failed = ended[(ended["outcome"] == "failed") & ended["attempt_id"].isin(counting)]
    levels = results.pooled_levels
    out = levels["experiment_id"].isin(apart | set(failed["experiment_id"]))
    return levels[(levels["status"] == LevelStatus.OK.value) & ~out]


def _in_plan_order(points: pd.DataFrame, results: StudyResults) -> pd.DataFrame:
    place = {experiment.id: n for n, experiment in enumerate(results.study.experiments)}
    keyed = points.assign(_place=points["experiment_id"].map(place))
    return keyed.sort_values(["_place", "workload", "concurrency"], kind="stable").drop(
        columns="_place"
    )
