"""SGLang: ``python3 -m sglang.launch_server``, or ``sglang serve`` where that is the program."""

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
from autotuner.errors import PlanError
from autotuner.spec.experiment import FailureKind
from autotuner.spec.server import ServerConfig, Value

__all__ = ["SglangEngine"]

_SYMPTOMS = (
    *known.START[:2],
    Symptom.of(
        r"not enough memory\b.*(mem-fraction-static|KV cache)",
        FailureKind.OUT_OF_MEMORY_AT_LOAD,
        "No memory is left for the KV cache once the weights are loaded (mem-fraction-static).",
    ),
    Symptom.of(
        r"(alloc_\w+ runs|prefill|decode) out of memory",
        FailureKind.OUT_OF_MEMORY_AT_LOAD,
        "The KV cache had no room for the requests that the server had taken on.",
    ),
    *known.MEMORY,
    *known.DISKS,
    *known.MODEL_FILES,
    *known.START[2:],
    *known.CRASHES,
    known.REFUSED,
    Symptom.of(
        r"\bAssertionError: \S",
        FailureKind.CONFIG_REJECTED,
        "The engine refused the configuration.",
    ),
    Symptom.of(
        r"(scheduler|detokenizer|child process) .*(died|hit an exception|unexpectedly)"
        r"|received sigquit from a child process|initialization failed",
        FailureKind.SERVER_CRASHED,
        "One of the engine's processes died; the log has no known cause.",
    ),
)

_OURS = frozenset({"nnodes", "node-rank", "dist-init-addr", "nccl-init-addr"})


class SglangEngine(Engine):
    """SGLang's OpenAI-compatible server."""

    name: ClassVar[str] = "sglang"
    takes_underscores: ClassVar[bool] = False
    version_path: ClassVar[str | None] = "/get_server_info"
    bench_backend: ClassVar[str] = "sglang"
    compile_caches: ClassVar[Mapping[str, str]] = {
        "TORCHINDUCTOR_CACHE_DIR": "inductor",
        "TRITON_CACHE_DIR": "triton",
    }
    symptoms = _SYMPTOMS
    help_lists: ClassVar[frozenset[str]] = frozenset(
        {"host", "port", "served-model-name", "mem-fraction-static"}
    )

    def command(
        self, server: ServerConfig, *, host: str, port: int | str, served_name: str
    ) -> list[str]:
        self.refuse_command(server)
        executable = server.executable or "python3"
        return [
            *_start(executable),
            "--model-path",
            server.model.path,
            "--host",
            host,
            "--port",
            str(port),
            "--served-model-name",
            served_name,
            *flag_arguments(server.flags),
        ]

    def rank_command(
        self, server: ServerConfig, rank: Rank, *, host: str, port: int | str, served_name: str
    ) -> list[str]:
        _refuse_what_cannot_span(self, server.flags)
        return [
            *self.command(server, host=host, port=port, served_name=served_name),
            *("--nnodes", str(rank.nodes), "--node-rank", str(rank.number)),
            *("--dist-init-addr", f"{rank.master_address}:{rank.master_port}"),
        ]

    def rank_environment(self, server: ServerConfig, address: str) -> dict[str, str]:
        # Else it takes the address of the default route, which need not be the cluster's.
        return {} if "SGLANG_HOST_IP" in server.environment else {"SGLANG_HOST_IP": address}

    def gpus(self, flags: Mapping[str, Value]) -> int:
        tensor = parallel_size(flags, "tp-size", "tensor-parallel-size", "tp")
        pipeline = parallel_size(flags, "pp-size", "pipeline-parallel-size", "pp")
        data = parallel_size(flags, "dp-size", "data-parallel-size", "dp")
        if not _is_set(flags, "enable-dp-attention"):
            return tensor * pipeline * data
        # With attention in parallel, the replicas share the tensor-parallel GPUs.
        if tensor % data:
            raise PlanError(f"enable-dp-attention: dp-size {data} does not divide tp-size {tensor}")
        return tensor * pipeline

    def version_command(self, server: ServerConfig) -> list[str] | None:
        executable = server.executable or "python3"
        if not is_python(executable):
            return [executable, "version"]
        code = "import importlib.metadata; print(importlib.metadata.version('sglang'))"
        return [executable, "-c", code]

    def help_commands(self, server: ServerConfig) -> Sequence[list[str]]:
        return [[*_start(server.executable or "python3"), "--help"]]


def _start(executable: str) -> list[str]:
    if is_python(executable):
        return [executable, "-m", "sglang.launch_server"]
    return [executable, "serve"]


def _is_set(flags: Mapping[str, Value], name: str) -> bool:
    return any(normal_name(given) == name and value is True for given, value in flags.items())


def _refuse_what_cannot_span(engine: SglangEngine, flags: Mapping[str, Value]) -> None:
    refuse_flags(engine.name, flags, _OURS, "it is worked out for each node")
    refuse_flags(
        engine.name,
        flags,
        {"use-ray"},
        "its ranks are started by autotuner; Ray would ask the cluster for GPUs that the "
        "experiment holds already, and wait for ever",
    )
    if not _is_set(flags, "enable-dp-attention"):
        replicas = {name: value for name, value in flags.items() if value != 1}
        refuse_flags(
            engine.name,
            replicas,
            {"dp-size", "data-parallel-size", "dp"},
            "SGLang has replicas over several nodes only with enable-dp-attention; exclude the "
            "combination under 'exclude'",
        )
