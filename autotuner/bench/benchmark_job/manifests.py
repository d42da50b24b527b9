"""The objects of one level: the BenchmarkJob, what it lacks, and the pod that reads its results.

OME 0.1.5 (controller of BenchmarkJobs) starts ``genai-bench benchmark`` in an image that the job
names. For a job with an ``inferenceService`` it asks the model ``vllm-model`` with the key
``sample-key``, and for one with an ``endpoint`` it gives neither the API key nor the tokenizer,
without which genai-bench asks for them at a terminal that a pod does not have. Our servers answer
to their own name alone, so the job has an ``endpoint``; what genai-bench lacks then is appended to
its arguments by `pod_start`, a file that the job's ``podOverride`` puts onto Python's path.
"""

from __future__ import annotations

import base64
import json
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from autotuner.bench.base import Target
from autotuner.bench.benchmark_job.storage import output_uri
from autotuner.spec.launching import OmeSettings
from autotuner.spec.study import BenchmarkJobSettings
from autotuner.spec.workload import Level, Workload

__all__ = ["Belonging", "JobOrder", "benchmark_job", "new_name", "start_file"]

_NO_LIMIT = 2**31 - 1
_START_FOLDER = "/autotuner"
_START_FILE = "sitecustomize.py"
_NAME_CHARACTERS = 40
"""The job's pod appends to the name, which is also a label of 63 characters."""
_MODEL_LABEL = "models.ome.io/clusterbasemodel."
_MODEL_LABEL_CHARACTERS = 32
"""OME writes a hash into longer ones."""
_UNKNOWN_GPUS = ("A100",)
"""genai-bench ends at once for these names of OME's: it has A100-40G and A100-80G instead."""
_ENGINES = {"vllm": "vLLM", "sglang": "SGLang"}


@dataclass(frozen=True, slots=True)
class Belonging:
    """By what an object is found, and with what it goes."""

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owners: Sequence[Mapping[str, Any]] = ()
    """``ownerReferences``: the server under load, with which all of it ends."""

    def metadata(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": name,
            "namespace": self.namespace,
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
        }
        if self.owners:
            found["ownerReferences"] = [dict(owner) for owner in self.owners]
        return found


@dataclass(frozen=True, slots=True)
class JobOrder:
    """One level to be loaded by a BenchmarkJob."""

    name: str
    level: Level
    workload: Workload
    target: Target
    settings: BenchmarkJobSettings
    launch: OmeSettings
    gpus: int = 0
    hub_endpoint: str | None = None

    @property
    def minutes(self) -> int:
        """Length of the level, in which OME and genai-bench count."""
        return math.ceil(self.workload.stop.seconds / 60)


def new_name(attempt_id: str) -> str:
    """A name that no job has had: results of another one must not be taken for this one's."""
    kept = re.sub(r"[^a-z0-9]+", "-", attempt_id.lower()).strip("-")
    return f"bench-{kept[-(_NAME_CHARACTERS - 16) :].strip('-')}-{secrets.token_hex(4)}"


def start_file(name: str, belonging: Belonging) -> dict[str, Any]:
    """The Secret with the file that Python reads at its start; nothing in it is secret.

    A Secret and no ConfigMap, because the launcher makes Secrets too: no further right is needed.
    """
    content = Path(__file__).with_name("pod_start.py").read_bytes()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": belonging.metadata(name),
        "type": "Opaque",
        "data": {_START_FILE: base64.b64encode(content).decode()},
    }


def benchmark_job(order: JobOrder, belonging: Belonging) -> dict[str, Any]:
    """The BenchmarkJob; `start_file` of the same name has to be there before it."""
    spec: dict[str, Any] = {
        "endpoint": {
            "endpoint": {
                "url": order.target.url,
                "apiFormat": "openai",
                "modelName": order.target.served_name,
            }
        },
        "task": order.workload.task,
        "trafficScenarios": [order.level.scenario],
        "numConcurrency": [order.level.concurrency],
        "maxTimePerIteration": order.minutes,
        "maxRequestsPerIteration": order.workload.stop.requests or _NO_LIMIT,
        "outputLocation": {"storageUri": output_uri(order.settings.storage, order.name)},
        "resultFolderName": order.name,
        "podOverride": _pod_override(order),
    }
    engine, gpu = _ENGINES.get(order.target.backend), order.settings.gpu_type
    if engine is not None and gpu is not None and gpu not in _UNKNOWN_GPUS:
        spec["serviceMetadata"] = {
            "engine": engine,
            "version": (order.launch.image or "unknown").rpartition("/")[2],
            "gpuType": gpu,
            "gpuCount": order.gpus,
        }
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "BenchmarkJob",
        "metadata": belonging.metadata(order.name),
        "spec": spec,
    }


def _pod_override(order: JobOrder) -> dict[str, Any]:
    variables = {
        "PYTHONPATH": _START_FOLDER,
        "AUTOTUNER_ARGUMENTS": json.dumps(_arguments(order)),
        "GENAI_BENCH_LOGGING_LEVEL": "WARNING",  # at INFO: a line per request
        "TOKENIZERS_PARALLELISM": "false",
    }
    if order.hub_endpoint is not None:
        variables["HF_ENDPOINT"] = order.hub_endpoint
    override: dict[str, Any] = {
        # Kubernetes fills in $(NAME); $$ stands for one dollar sign.
        "env": [{"name": n, "value": v.replace("$", "$$")} for n, v in variables.items()],
        "volumes": [{"name": "autotuner", "secret": {"secretName": order.name}}],
        "volumeMounts": [{"name": "autotuner", "mountPath": _START_FOLDER, "readOnly": True}],
    }
    if order.settings.image is not None:
        override["image"] = order.settings.image
    if order.settings.hub_secret is not None:
        # OME's own huggingFaceSecretReference takes one key alone, which genai-bench ignores.
        override["envFrom"] = [{"secretRef": {"name": order.settings.hub_secret}}]
    if PurePosixPath(order.target.tokenizer).is_absolute():
        _mount_tokenizer(override, order)
    return override


def _arguments(order: JobOrder) -> list[str]:
    """What OME does not pass on; a backend of the engine's own, without which genai-bench drops
    ``ignore_eos``."""
    words = ["--api-backend", order.target.backend, "--api-key", "none"]
    words += ["--model-tokenizer", order.target.tokenizer]
    if order.workload.request:
        words += ["--additional-request-params", json.dumps(dict(order.workload.request))]
    return words


def _mount_tokenizer(override: dict[str, Any], order: JobOrder) -> None:
    """A tokenizer that is a folder lies where the server's model does."""
    pod, folder = order.launch.pod, order.target.tokenizer
    volume: dict[str, Any] = {"name": "tokenizer"}
    mount = {"name": "tokenizer", "mountPath": folder, "readOnly": True}
    if pod.model_claim is not None:
        volume["persistentVolumeClaim"] = {"claimName": pod.model_claim, "readOnly": True}
        mount["mountPath"] = pod.model_mount or folder
    else:
        volume["hostPath"] = {"path": folder, "type": "Directory"}
        override |= _placement(order.launch)
    override["volumes"].append(volume)
    override["volumeMounts"].append(mount)


def _placement(launch: OmeSettings) -> dict[str, Any]:
    """On nodes that have the model's files."""
    selector = dict(launch.pod.node_selector)
    fits = len(launch.base_model) <= _MODEL_LABEL_CHARACTERS
    if launch.base_model_kind == "ClusterBaseModel" and fits:
        selector[f"{_MODEL_LABEL}{launch.base_model}"] = "Ready"
    found: dict[str, Any] = {}
    if selector:
        found["nodeSelector"] = selector
    if launch.pod.tolerations:
        found["tolerations"] = [dict(each) for each in launch.pod.tolerations]
    if launch.pod.affinity:
        found["affinity"] = dict(launch.pod.affinity)
    return found
