"""Published measurements on real GPUs, as subjects and loads that estimators know.

Columns of the file: backend, backend_version, model_path, system, precision, isl, osl, concurrency,
batch_size, tp_size, pp_size, attention_dp_size, moe_tp_size, moe_ep_size, ttft_ms, tpot_ms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from autotuner.search.estimators.base import Load, Subject
from autotuner.search.estimators.earlier_results import Measured

SCENARIO = ["model_path", "system", "precision", "isl", "osl"]
ARM = ["backend", "tp_size", "pp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size"]


@dataclass(frozen=True, slots=True)
class Arm:
    """A server of the data: engine and parallel layout."""

    backend: str
    tp: int
    pp: int
    dp: int
    moe_tp: int
    moe_ep: int

    @property
    def gpus(self) -> int:
        return self.tp * self.pp * self.dp


@dataclass(frozen=True, slots=True)
class Scenario:
    """A task of the data: what is served, on what, with what traffic."""

    model: str
    system: str
    precision: str
    isl: int
    osl: int

    @property
    def family(self) -> str:
        """Models of a family are never each other's test, e.g. ``deepseek``, ``llama``."""
        return family_of(self.model)


@dataclass(frozen=True, slots=True)
class Point:
    """One measured level, repeats pooled."""

    scenario: Scenario
    arm: Arm
    concurrency: int
    ttft_s: float
    tpot_s: float

    @property
    def throughput_tok_s(self) -> float:
        """Output tokens per second of the whole server."""
        osl = self.scenario.osl
        return self.concurrency * osl / (self.ttft_s + self.tpot_s * (osl - 1))

    @property
    def subject(self) -> Subject:
        return subject_of(self.scenario, self.arm)

    @property
    def load(self) -> Load:
        return Load(self.scenario.isl, self.scenario.osl, self.concurrency)

    @property
    def measured(self) -> Measured:
        return Measured(self.subject, self.load, self.ttft_s, self.tpot_s, self.throughput_tok_s)


def family_of(model: str) -> str:
    """The first word of a model's name, without its organisation: ``qwen``, ``gpt-oss``."""
    name = model.lower().split("/")[-1]
    found = re.match(r"[a-z]+(?:-oss)?", name)
    return found[0] if found else name


def subject_of(scenario: Scenario, arm: Arm) -> Subject:
    """The arm's server as estimators see it."""
    return Subject(
        engine=arm.backend,
        model=scenario.model,
        gpu=scenario.system,
        gpus=arm.gpus,
        tensor_parallel=arm.tp,
        pipeline_parallel=arm.pp,
        data_parallel=arm.dp,
        expert_parallel=arm.moe_ep,
        expert_group=max(arm.tp, arm.moe_tp * arm.moe_ep),
        weights=scenario.precision,
    )


def read_points(path: Path) -> tuple[Point, ...]:
    """All usable measurements of a file; those of the same server and load are averaged.

    Rows without a concurrency say nothing. Without an attention_dp_size it follows from how the
    experts are divided; without a precision it is taken for 16 bit.
    """
    frame = pd.read_csv(path).drop_duplicates()
    frame = frame[frame["concurrency"].notna() & (frame["ttft_ms"] > 0) & (frame["tpot_ms"] > 0)]
    frame = frame.assign(
        precision=frame["precision"].fillna("bf16"),
        attention_dp_size=_attention_dp(frame),
        concurrency=frame["concurrency"].astype(int),
    )
    means = frame.groupby([*SCENARIO, *ARM, "concurrency"], as_index=False).agg(
        ttft_ms=("ttft_ms", "mean"), tpot_ms=("tpot_ms", "mean")
    )
    return tuple(_points(means))


def _attention_dp(frame: pd.DataFrame) -> pd.Series:
    implied = (frame["moe_tp_size"] * frame["moe_ep_size"] / frame["tp_size"]).clip(lower=1)
    return frame["attention_dp_size"].fillna(np.floor(implied)).astype(int)


def _points(frame: pd.DataFrame) -> Iterable[Point]:
    for row in frame.to_dict("records"):
        sizes = [int(row[name]) for name in ARM[1:]]
        yield Point(
            Scenario(*(str(row[n]) for n in SCENARIO[:3]), int(row["isl"]), int(row["osl"])),
            Arm(str(row["backend"]), *sizes),
            int(row["concurrency"]),
            float(row["ttft_ms"]) / 1000,
            float(row["tpot_ms"]) / 1000,
        )
