"""NVIDIA's AIConfigurator, which interpolates measured operators, in a process of its own.

It loads gigabytes of tables, prints, and brings many packages: nothing that a study's driver should
have in its process. It is installed by ``pip install 'autotuner[aiconfigurator]'``, or lies in any
other environment whose python ``AUTOTUNER_AICONFIGURATOR_PYTHON`` names.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from autotuner.errors import PlanError
from autotuner.search.estimators import aiconfigurator_worker
from autotuner.search.estimators.architecture import ArchitectureError
from autotuner.search.estimators.base import Estimate, Estimator, Load, Subject, Unknown
from autotuner.search.estimators.gpu_sheets import find_sheet
from autotuner.search.estimators.model_files import architecture_of, folder_of

__all__ = ["PYTHON_VARIABLE", "AiConfigurator"]

PYTHON_VARIABLE = "AUTOTUNER_AICONFIGURATOR_PYTHON"

_ENGINES = frozenset({"vllm", "sglang", "trtllm"})
_SYSTEMS = {
    "A100": "a100_sxm",
    "A100-PCIE": "a100_pcie",
    "A30": "a30",
    "B200": "b200_sxm",
    "B300": "b300_sxm",
    "GB200": "gb200",
    "GB300": "gb300",
    "H100": "h100_sxm",
    "H100-PCIE": "h100_pcie",
    "H200": "h200_sxm",
    "L4": "l4",
    "L40S": "l40s",
    "PRO-6000": "rtx_pro_6000_server",
}
"""Data sheets -> its names of systems."""
_FORMATS = {"bf16": "bfloat16", "fp8": "fp8", "fp4": "nvfp4", "int8": "int8_wo", "int4": "int4_wo"}
_CACHES = {"bf16": "bfloat16", "fp8": "fp8", "int8": "int8"}
# Its errors on published measurements: median 65 % of TTFT, 27 % of TPOT (mean 42 %).
_TTFT_SIGMA, _TPOT_SIGMA, _THROUGHPUT_SIGMA = 1.0, 0.4, 0.4
_ANSWER_S = 180.0
"""The first answer for a GPU takes the time to load its tables."""
_WORDS = 160


class AiConfigurator(Estimator):
    """As one aggregated server; asked once for each layout and load, about a second each."""

    name: ClassVar[str] = "aiconfigurator"

    def __init__(self, python: str | None = None) -> None:
        """Args: python: Of an environment that has it; None: named by the environment, or ours.

        Raises:
            PlanError: there is none.
        """
        self._worker: subprocess.Popen[bytes] | None = None
        self._answers: dict[str, Mapping[str, object]] = {}
        self._python = python or os.environ.get(PYTHON_VARIABLE) or sys.executable
        if self._python == sys.executable and not _is_installed():
            raise PlanError(
                "estimator 'aiconfigurator' is not installed: pip install "
                f"'autotuner[aiconfigurator]', or set {PYTHON_VARIABLE} to the python of an "
                "environment that has it"
            )

    def estimate(self, subject: Subject, load: Load) -> Estimate | Unknown:
        if subject.engine not in _ENGINES:
            return Unknown(f"AIConfigurator knows no engine {subject.engine!r}")
        if subject.gpu is None:
            return Unknown("the GPUs' model is not known: set resources.gpu_type, or give --gpu")
        sheet = find_sheet(subject.gpu)
        system = None if sheet is None else _SYSTEMS.get(sheet.name)
        if system is None:
            return Unknown(f"AIConfigurator has no tables of the GPU {subject.gpu!r}")
        replicas = _replicas(subject)
        question = _question(subject, load, system, replicas)
        key = json.dumps(question, sort_keys=True)
        if key not in self._answers:
            self._answers[key] = self._ask(key)
        return _read(self._answers[key], replicas)

    def close(self) -> None:
        """Ends its process; it is started anew when the next question comes."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                pipe.close()
        worker.kill()
        worker.wait()

    def __del__(self) -> None:
        self.close()

    def _ask(self, question: str) -> Mapping[str, object]:
        try:
            return self._exchange(question)
        except (OSError, ValueError) as error:
            self.close()
            return {"error": f"its process ({self._python}) failed: {error}"}

    def _exchange(self, question: str) -> Mapping[str, object]:
        if self._worker is None:
            self._worker = subprocess.Popen(
                # -P: the modules beside the worker are not to be found by it.
                [self._python, "-P", str(Path(aiconfigurator_worker.__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: v for name, v in os.environ.items() if name != "PYTHONPATH"},
            )
        asked, answered = self._worker.stdin, self._worker.stdout
        if asked is None or answered is None:
            raise ValueError("it has no pipes")
        asked.write(question.encode() + b"\n")
        asked.flush()
        if not select.select([answered], [], [], _ANSWER_S)[0]:
            raise TimeoutError(f"no answer within {_ANSWER_S:g} s")
        line = answered.readline()
        if not line:
            raise ConnectionError(f"it ended with status {self._worker.wait()}")
        answer = json.loads(line)
        return answer if isinstance(answer, dict) else {"error": "no JSON object"}


def _is_installed() -> bool:
    return importlib.util.find_spec("aiconfigurator") is not None


def _replicas(subject: Subject) -> int:
    """Whole servers side by side, which it does not model: of one, with its share of the load."""
    shared = max(1, subject.experts_over // subject.tensor_parallel)
    return max(1, subject.data_parallel // shared)


def _question(subject: Subject, load: Load, system: str, replicas: int) -> dict[str, object]:
    attention_dp = max(1, subject.data_parallel // replicas)
    ways = attention_dp * subject.tensor_parallel
    folder = folder_of(subject.model)
    question: dict[str, object] = {
        "model_path": subject.model if folder is None else str(folder),
        "system_name": system,
        "backend_name": subject.engine,
        "isl": load.input_tokens,
        "osl": load.output_tokens,
        "batch_size": max(1, math.ceil(load.concurrency / replicas / attention_dp)),
        "tp_size": subject.tensor_parallel,
        "pp_size": subject.pipeline_parallel,
        "attention_dp_size": attention_dp,
        "moe_ep_size": subject.expert_parallel,
        "moe_tp_size": max(1, ways // subject.expert_parallel),
    }
    if subject.weights is not None and subject.weights != _stored(subject.model):
        question["gemm_quant_mode"] = question["moe_quant_mode"] = _FORMATS[subject.weights]
    if subject.kv_cache is not None:
        question["kvcache_quant_mode"] = _CACHES.get(subject.kv_cache)
    return question


def _stored(model: str) -> str | None:
    """Number format of the model's files; None: not known."""
    try:
        return architecture_of(model).weights
    except ArchitectureError:
        return None


def _read(answer: Mapping[str, object], replicas: int) -> Estimate | Unknown:
    numbers = [answer.get(name) for name in ("ttft_ms", "tpot_ms", "output_tok_s")]
    known = [n for n in numbers if isinstance(n, float) and math.isfinite(n) and n > 0]
    if len(known) < len(numbers):
        words = " ".join(str(answer.get("error", "it gave no numbers")).split())
        return Unknown(f"AIConfigurator: {words[:_WORDS]}{'…' if len(words) > _WORDS else ''}")
    ttft_ms, tpot_ms, throughput = known
    return Estimate(
        ttft_s=ttft_ms / 1000,
        tpot_s=tpot_ms / 1000,
        output_throughput_tok_s=throughput * replicas,
        ttft_sigma=_TTFT_SIGMA,
        tpot_sigma=_TPOT_SIGMA,
        throughput_sigma=_THROUGHPUT_SIGMA,
    )
