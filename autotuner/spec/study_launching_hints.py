"""Wrong keys that people are likely to write for a launcher -> what to write instead.

They come from Docker's, Compose's, Kubernetes' and OME's own words.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["DOCKER_HINTS", "OME_HINTS", "POD_HINTS"]


def _hints(meant: Mapping[str, str], advice: Mapping[str, str]) -> dict[str, str]:
    """Wrong keys, parted by blanks, under the key that was meant or the advice to give."""
    found = {
        wrong: f"unknown key; did you mean `{right}`?"
        for right, words in meant.items()
        for wrong in words.split()
    }
    said = {w: f"unknown key; {text}" for text, words in advice.items() for w in words.split()}
    return found | said


_COMMON = {
    "write the server's variables under `engine.environment`": "env environment variables",
    "GPUs follow from the parallel sizes, or write `resources: {gpus: 1}`": (
        "gpus gpu devices device_ids"
    ),
    "write `engine: {executable: ..., flags: {...}}`": ("command args entrypoint executable flags"),
    "autotuner chooses the port itself; remove it": "port ports publish",
    "autotuner names each server itself; remove it": "name container_name pod_name",
    "did you mean `shm_gib`? It is a number of GiB": "shm shm_size shm_size_gb shm_gb shmSize",
    "write the release as `engine: {version: 0.11.0}`, or the whole `image: name:tag`": (
        "tag version image_tag"
    ),
}

DOCKER_HINTS = _hints(
    {
        "mounts": "volumes volume mount binds bind",
        "daemon": "host docker_host socket address",
        "network": "network_mode net",
        "ipc": "ipc_mode",
        "pull": "pull_policy",
        "ulimits": "ulimit",
        "hub_cache": "cache hf_cache hf_home",
    },
    {
        **_COMMON,
        "did you mean `memory_gib`? It is a number of GiB": "memory mem_limit memory_limit",
        "write `resources: {cpus: {server: ...}}`": "cpus cpuset cpuset_cpus",
    },
)

POD_HINTS = _hints(
    {
        "model_claim": "pvc claim persistent_volume_claim model_pvc",
        "model_mount": "model_path mount_path mountPath",
        "model_on_nodes": "host_path hostPath",
        "node_selector": "nodeSelector",
        "image_pull_secrets": "imagePullSecrets pull_secrets image_pull_secret",
        "service_account": "serviceAccount serviceAccountName",
        "runtime_class": "runtimeClass runtimeClassName",
        "tolerations": "toleration",
        "namespace": "ns",
        "unschedulable_s": "timeout pending_s",
    },
    {
        **_COMMON,
        "a claim that holds the model is named by `model_claim`": (
            "volumes volume volume_mounts volumeMounts mounts"
        ),
        "did you mean `requests`? Limits are the same": "limits resources",
        "write `requests: {cpu: 8, memory: 64Gi}`": "cpu cpus memory",
        "each attempt measures one server; remove it": (
            "replicas min_replicas max_replicas minReplicas maxReplicas"
        ),
        "name an existing Secret with `secret`, never its content": (
            "hf_token token hub_token secrets hub_secret"
        ),
        "the cluster's own rule holds; remove it": "pull pull_policy imagePullPolicy",
    },
)

OME_HINTS = {
    **POD_HINTS,
    **_hints(
        {
            "base_model": "model baseModel cluster_base_model model_name",
            "runtime": "serving_runtime servingRuntime cluster_serving_runtime",
        },
        {},
    ),
}
