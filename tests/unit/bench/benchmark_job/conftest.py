"""A level of a study whose server is an OME service."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from autotuner.bench.base import Target
from autotuner.bench.benchmark_job.manifests import JobOrder
from autotuner.spec.launching import OmeSettings, PodSettings
from autotuner.spec.study import BenchmarkJobSettings
from autotuner.spec.workload import StopRule, Workload

Files = dict[str, bytes]


@pytest.fixture
def make_order() -> Callable[..., JobOrder]:
    def make(
        *,
        tokenizer: str = "org/model",
        backend: str = "vllm",
        stop: StopRule | None = None,
        request: Mapping[str, object] | None = None,
        pod: PodSettings | None = None,
        gpus: int = 2,
        hub_endpoint: str | None = None,
        base_model_kind: str = "ClusterBaseModel",
        base_model: str = "llama",
        **settings: Any,
    ) -> JobOrder:
        stop = stop or StopRule(120.0, 50)
        workload = Workload("chat", "D(100,10)", (4,), stop, request=request or {})
        return JobOrder(
            "bench-exp0-a1-00000000",
            workload.levels[0],
            workload,
            Target("http://server.team.svc:8000", "exp0-a1-0123", tokenizer, backend),
            BenchmarkJobSettings(**{"storage": "pvc://results/tuning", **settings}),
            OmeSettings(base_model, base_model_kind=base_model_kind, pod=pod or PodSettings()),
            gpus,
            hub_endpoint,
        )

    return make


def request(**changes: object) -> dict[str, object]:
    """A request as genai-bench 0.0.5 records it."""
    return {
        "ttft": 0.1,
        "tpot": 0.05,
        "e2e_latency": 0.55,
        "output_latency": 0.45,
        "output_inference_speed": 20.0,
        "num_input_tokens": 100,
        "num_output_tokens": 10,
        "num_reasoning_tokens": 0,
        "total_tokens": 110,
        "input_throughput": 1000.0,
        "output_throughput": 20.0,
        "audio_throughput": None,
        "error_code": None,
        "error_message": None,
        **changes,
    }


def failed(code: object = 503, message: str | None = "overloaded") -> dict[str, object]:
    nothing = dict.fromkeys(request())
    return {**nothing, "error_code": code, "error_message": message}


@pytest.fixture
def make_files() -> Callable[..., Files]:
    """The JSON files of an experiment folder with one level."""

    def make(
        *requests: dict[str, object],
        scenario: str = "D(100,10)",
        concurrency: int = 4,
        served_name: str = "exp0-a1-0123",
        run_duration: object = 121.0,
        unit: str | None = "s",
        name: str = "D100_10_text-to-text_num_concurrency_4_time_120s.json",
    ) -> Files:
        aggregated = {
            "scenario": scenario,
            "num_concurrency": concurrency,
            "batch_size": 1,
            "iteration_type": "num_concurrency",
            "run_duration": run_duration,
            "error_rate": 0,
        }
        run: dict[str, object] = {
            "aggregated_metrics": aggregated,
            "individual_request_metrics": list(requests),
        }
        if unit is not None:
            run["_time_unit"] = unit
        metadata = {"api_model_name": served_name, "benchmark_version": "0.0.5"}
        return {
            "experiment_metadata.json": json.dumps(metadata).encode(),
            name: json.dumps(run).encode(),
        }

    return make


@pytest.fixture
def make_request() -> Callable[..., dict[str, object]]:
    return request


@pytest.fixture
def make_failed() -> Callable[..., dict[str, object]]:
    return failed
