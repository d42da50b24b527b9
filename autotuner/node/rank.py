"""One further node of an attempt whose server spans several: its devices, its part of the server.

The attempt itself runs on the node of rank 0, see `autotuner.node.spanning`. Here is what it asks
of each of the others, with no word on how it is asked; all values travel.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autotuner.engines.base import Rank
from autotuner.errors import LaunchError
from autotuner.launchers.base import Server
from autotuner.launchers.registry import load_launcher
from autotuner.node.compile_cache import CompileCache, held_compile_cache
from autotuner.node.device_claims import DeviceClaims
from autotuner.node.devices import Devices
from autotuner.node.events import AttemptOrder
from autotuner.node.facts import host_name
from autotuner.node.gpus import gpu_probe
from autotuner.node.log_mirror import mirrored_logs
from autotuner.node.logs import collect_logs
from autotuner.node.preparation import Preparation, prepare
from autotuner.supervision.environment import mask_secrets
from autotuner.supervision.lease import held_lease
from autotuner.supervision.process import ProcessExit
from autotuner.supervision.sweep import sweep

__all__ = ["RankEnded", "RankHost", "RankReady", "RankState"]


@dataclass(frozen=True, slots=True)
class RankReady:
    """What a node says once it is ready for its part, or why it is not."""

    host: str
    slot_fault: str | None = None
    """What is wrong with its devices."""
    problem: str | None = None
    """Why nothing can be started on it at all."""


@dataclass(frozen=True, slots=True)
class RankState:
    """The process of one rank now."""

    exit: ProcessExit | None
    ended_s_ago: float = 0.0
    """By its own node's clock: those of different nodes are not compared."""

    @staticmethod
    def of(server: Server) -> RankState:
        exit_ = server.exit
        if exit_ is None or exit_.ended_at is None:
            return RankState(exit_)
        return RankState(exit_, max(0.0, time.time() - exit_.ended_at))


@dataclass(frozen=True, slots=True)
class RankEnded:
    """What a node leaves of its part."""

    log: str = ""
    """Secrets masked."""
    slot_fault: str | None = None


@dataclass
class RankHost:
    """The part of one attempt on this node; `stop`, `state`, `log_tail` may be called at any time.

    Args:
        address: This node, as the others reach it.
        gpu_ids: Devices that this part may use, as CUDA_VISIBLE_DEVICES spells them.
        log_folder: Where its log is copied to while it runs; None: nowhere.
    """

    address: str
    gpu_ids: Sequence[str]
    log_folder: Path | None = None
    _resources: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _server: Server | None = None
    _prepared: Preparation | None = None
    _cache: CompileCache | None = None
    _faulty: bool = False
    """Its devices were not free at the start."""
    _finished: bool = False

    def __post_init__(self) -> None:
        probe = gpu_probe() if self.gpu_ids else None
        self._devices = Devices(probe, self.gpu_ids, DeviceClaims())
        self._lock = threading.Lock()

    def prepare(self, order: AttemptOrder) -> RankReady:
        """Take the lease, and see to it that the node holds nothing of dead attempts."""
        host = host_name()
        try:
            attempt = order.attempt
            held = held_lease(attempt.id, attempt.study_id, attempt.mark)
            lease = self._resources.enter_context(held)
            self._prepared = prepare(order, self.gpu_ids, lease, address=self.address)
            names = attempt.served_name
            mirror = mirrored_logs(lease.folder, self.log_folder, names, self._prepared.secrets)
            self._resources.enter_context(mirror)
            sweep()
        except (LaunchError, OSError) as error:
            return RankReady(host, problem=str(error))
        fault = self._devices.await_free(order.timeouts.device_s, self._stopping.is_set)
        self._faulty = fault is not None and not self._stopping.is_set()
        return RankReady(host, slot_fault=fault if self._faulty else None)

    def start(self, rank: Rank) -> str | None:
        """Start the part; why it cannot be started, or None."""
        if self._prepared is None:
            return "nothing was prepared"
        with self._lock:
            if self._stopping.is_set():
                return "the attempt has been stopped"
            config = self._prepared.order.attempt.experiment.server
            self._cache = self._resources.enter_context(
                held_compile_cache(config, self._prepared.engine)
            )
            request = self._prepared.launch_request(lambda command: None, self._cache, rank)
            try:
                self._server = load_launcher(config.launcher).start(request)
            except LaunchError as error:
                return mask_secrets(str(error), self._prepared.secrets)
        return None

    def version(self) -> str | None:
        """The engine's version on this node; None where it cannot be told."""
        if self._server is None or self._prepared is None:
            return None
        config = self._prepared.order.attempt.experiment.server
        command = self._prepared.engine.version_command(config)
        return None if command is None else self._server.ask(command)

    def state(self) -> RankState:
        return RankState(None) if self._server is None else RankState.of(self._server)

    def log_tail(self) -> str:
        """The end of the part's log, secrets masked."""
        if self._server is None or self._prepared is None:
            return ""
        return mask_secrets(self._server.log_tail(), self._prepared.secrets)

    def stop(self, *, hurry: bool = False) -> None:
        """End the part and everything it started. After `finish`: let go of faulty devices."""
        self._stopping.set()
        with self._lock:
            if self._server is not None:
                self._server.stop(hurry=hurry)
        if self._finished:
            self._devices.release()

    def finish(self, *, hurry: bool = False, completed: bool = False) -> RankEnded:
        """Stop, hand the log over, and see whether the devices are free again.

        Args:
            hurry: Nobody waits for the devices.
            completed: Whether the attempt has come to all of its results.
        """
        self.stop(hurry=hurry)
        log, fault = "", None
        if self._prepared is not None:
            logs = collect_logs(self._prepared.lease.folder, self._prepared.secrets)
            log = logs.get("server.log", "")
        if self._cache is not None and completed:
            self._cache.keep()
        self._resources.close()
        if self._prepared is not None and self._server is not None and not hurry:
            timeout_s = self._prepared.order.timeouts.device_s
            fault = self._devices.await_back(timeout_s, lambda: None)
        if fault is None and not self._faulty:
            self._devices.release()
        self._finished = True
        return RankEnded(log, fault)

    def is_free(self) -> bool:
        """Whether the devices hold nothing that keeps others from using them; lets go of them."""
        if free := self._devices.is_free():
            self._devices.release()
        return free
