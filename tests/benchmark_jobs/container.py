"""The container that OME's controller makes of a BenchmarkJob, as OME 0.1.5 does.

After ``buildBenchmarkCommand``, ``buildStorageArgs``, ``buildPVCVolume`` and ``mergeContainer`` of
its controller: what it leaves out is left out here, such as the API key, the tokenizer and the
request parameters of an ``endpoint``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Container", "container_of"]

OWN_IMAGE = "ghcr.io/sgl-project/genai-bench:0.1.113"


@dataclass(frozen=True)
class Container:
    image: str
    command: list[str]
    args: list[str]
    env: list[Mapping[str, Any]]
    env_from: list[Mapping[str, Any]]
    volumes: list[Mapping[str, Any]]
    mounts: list[Mapping[str, Any]]


def container_of(job: Mapping[str, Any]) -> Container:
    """Raises ValueError where the controller returns an error."""
    spec = job["spec"]
    override = spec.get("podOverride", {})
    env = {"ENABLE_UI": {"name": "ENABLE_UI", "value": "false"}}
    env |= {each["name"]: each for each in override.get("env", ())}
    volumes, mounts = _output(spec["outputLocation"]["storageUri"])
    return Container(
        image=override.get("image", OWN_IMAGE),
        command=["genai-bench"],
        args=_arguments(spec),
        env=list(env.values()),
        env_from=list(override.get("envFrom", ())),
        volumes=[*volumes, *override.get("volumes", ())],
        mounts=[*mounts, *override.get("volumeMounts", ())],
    )


def _arguments(spec: Mapping[str, Any]) -> list[str]:
    endpoint = spec["endpoint"]["endpoint"]
    words = ["benchmark", "--api-backend", endpoint["apiFormat"], "--api-base", endpoint["url"]]
    words += ["--api-model-name", endpoint.get("modelName", ""), "--task", spec["task"]]
    words += ["--max-time-per-run", str(spec["maxTimePerIteration"])]
    words += ["--max-requests-per-run", str(spec["maxRequestsPerIteration"])]
    for scenario in spec.get("trafficScenarios", ()):
        words += ["--traffic-scenario", scenario]
    for concurrency in spec.get("numConcurrency", ()):
        words += ["--num-concurrency", str(concurrency)]
    if "resultFolderName" in spec:
        words += ["--experiment-folder-name", spec["resultFolderName"]]
    if (service := spec.get("serviceMetadata")) is not None:
        words += ["--server-engine", service["engine"], "--server-gpu-type", service["gpuType"]]
        words += ["--server-version", service["version"]]
        words += ["--server-gpu-count", str(service["gpuCount"])]
    return words + _storage_arguments(spec["outputLocation"]["storageUri"])


def _storage_arguments(uri: str) -> list[str]:
    scheme, _, rest = uri.partition("://")
    first, _, folder = rest.partition("/")
    if scheme == "pvc":
        return ["--experiment-base-dir", f"/{folder}"]
    bucket, _, region = first.partition("@")
    provider = {"s3": "aws", "gs": "gcp"}[scheme]
    words = ["--upload-results", "--storage-provider", provider, "--storage-bucket", bucket]
    words += ["--storage-prefix", folder] if folder else []
    return words + (["--storage-aws-region", region] if region else [])


def _output(uri: str) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    scheme, _, rest = uri.partition("://")
    if scheme != "pvc":
        return [], []
    claim, _, folder = rest.partition("/")
    if not folder:
        raise ValueError("invalid PVC storage URI format: missing subpath")
    name = "benchmark-output-storage"
    volume = {"name": name, "persistentVolumeClaim": {"claimName": claim.rpartition(":")[2]}}
    return [volume], [{"name": name, "mountPath": f"/{folder}", "subPath": folder}]
