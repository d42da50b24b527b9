"""A configuration and a load as numbers that a regression can compare across models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from autotuner.engines.base import normal_name
from autotuner.search.estimators.base import Load, Subject
from autotuner.search.estimators.gpu_sheets import find_sheet
from autotuner.spec.server import is_number

__all__ = ["Encoding", "features_of", "group_of", "usual_speed"]

_BITS = {"bf16": 16, "fp8": 8, "int8": 8, "fp4": 4, "int4": 4}
_WIDER, _KNEE = 0.3, 64.0
_SAID_ELSEWHERE = frozenset(
    {
        *("tensor-parallel-size", "tp-size", "tp", "pipeline-parallel-size", "pp-size", "pp"),
        *("data-parallel-size", "dp-size", "dp", "expert-parallel-size", "ep-size", "ep"),
        *("enable-expert-parallel", "enable-dp-attention", "quantization", "q", "dtype"),
        *("kv-cache-dtype", "seed", "random-seed"),
    }
)
"""Flags that the other features speak of, or that no speed depends on."""


def group_of(subject: Subject) -> str:
    """What has a level of its own: a model, in its number format, on a GPU."""
    return "|".join((subject.model, _gpu_name(subject), subject.weights or ""))


def usual_speed(subject: Subject, load: Load) -> float:
    """Logarithm of the speed of a user's tokens, but for a constant, as batching has it.

    It falls with the requests in flight per GPU, to half of an idle server's at 64 of them, and
    rises a little with the number of GPUs.
    """
    gpus = max(1, subject.gpus)
    return _WIDER * math.log(gpus) - math.log1p(load.concurrency / gpus / _KNEE)


def features_of(subject: Subject, load: Load) -> dict[str, float]:
    """Features by name, absent ones 0; scaled so that a difference of 1 is a large one."""
    gpus = max(1, subject.gpus)
    features = {
        "gpus": _log2(gpus) / 2,
        "tensor": _log2(subject.tensor_parallel) / 2,
        "pipeline": _log2(subject.pipeline_parallel),
        "data": _log2(subject.data_parallel) / 2,
        "expert": _log2(subject.expert_parallel) / 2,
        "concurrency": (_log2(load.concurrency / gpus) - 2) / 3,
        "input": (_log2(load.input_tokens) - 11) / 3,
        "output": (_log2(load.output_tokens) - 10) / 3,
        f"engine {subject.engine}": 0.7,
        **_gpu_features(subject),
    }
    if subject.weights is not None:
        features["weights"] = _log2(_BITS.get(subject.weights, 8) / 8)
    if subject.kv_cache is not None:
        features["cache"] = _log2(_BITS.get(subject.kv_cache, 16) / 16)
    features.update(_flag_features(subject))
    return features


class Encoding:
    """Gives the features of measured rows their columns, and others' the same ones."""

    def __init__(self, rows: Sequence[Mapping[str, float]]) -> None:
        self._columns = {name: i for i, name in enumerate(sorted({n for row in rows for n in row}))}

    def encode(self, row: Mapping[str, float]) -> tuple[NDArray[np.float64], float]:
        """The row's numbers by column, and the squared length of what no measured row has."""
        values, unseen = np.zeros(len(self._columns)), 0.0
        for name, value in row.items():
            if (column := self._columns.get(name)) is None:
                unseen += value**2
            else:
                values[column] = value
        return values, unseen


def _log2(value: float) -> float:
    return math.log2(max(value, 2**-10))


def _gpu_name(subject: Subject) -> str:
    if subject.gpu is None:
        return ""
    sheet = find_sheet(subject.gpu)
    return subject.gpu.lower() if sheet is None else sheet.name


def _gpu_features(subject: Subject) -> dict[str, float]:
    if subject.gpu is None:
        return {}
    if (sheet := find_sheet(subject.gpu)) is None:
        return {f"gpu {subject.gpu.lower()}": 0.7}
    return {
        "bandwidth": _log2(sheet.bandwidth_gb_s / 4000),
        "memory": _log2(sheet.memory_gib / 128) / 2,
    }


def _flag_features(subject: Subject) -> dict[str, float]:
    features = {}
    for flag, value in subject.flags.items():
        name = normal_name(flag)
        if name in _SAID_ELSEWHERE or value is None or value is False:
            continue
        if is_number(value):
            # Shares such as a memory fraction act by differences, sizes by ratios.
            features[f"flag {name}"] = 2 * value if 0 <= value <= 1 else _log2(abs(value) + 1) / 4
        else:
            features[f"flag {name}={value}"] = 0.5
    return features
