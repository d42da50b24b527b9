"""What `genai_bench_shim` changes about genai-bench's workers; like it, run in its environment.

They may join late or never, share one random state, and one that joins may miss what it is told
first. Here: all are waited for, each draws its own numbers, and none joins before it listens.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable
from typing import Any

_JOIN_S = 60.0
_POLL_S = 0.05


def gather(
    runner_class: Any, *, before: Callable[[Any], None], gathered: Callable[[list[Any]], None]
) -> None:
    """Begin with all workers or not at all.

    Args:
        before: Called with genai-bench's environment before any worker is made.
        gathered: Called with the processes of the workers.
    """
    import gevent
    import numpy
    from locust.runners import MasterRunner, WorkerRunner

    setup, work = runner_class.setup, runner_class._worker_process

    def setup_and_wait(self: Any) -> None:
        before(self.environment)
        self.config.wait_time = 0  # however many there are by then
        setup(self)
        if not isinstance(self.environment.runner, MasterRunner):
            return
        gathered(self._worker_processes)
        patience = time.monotonic() + _JOIN_S
        while (joined := self.environment.runner.worker_count) != self.config.num_workers:
            if time.monotonic() > patience or joined > self.config.num_workers:
                sys.exit(f"{joined} workers joined, {self.config.num_workers} were started")
            gevent.sleep(_POLL_S)

    def work_at_random(self: Any, worker_id: int) -> None:
        inspect.stack()  # its first time takes long, and stalls all streams
        numpy.random.seed()  # the standard library's own does so at a fork
        listen_before_joining(self, WorkerRunner)
        work(self, worker_id)

    runner_class.setup = setup_and_wait
    runner_class._worker_process = work_at_random


def listen_before_joining(runner: Any, worker_class: Any) -> None:
    """In a worker: join only once what the master says is heard.

    It would join first, and the master sends the scenario as soon as all have joined. On a busy
    machine a worker missed it, and then sent no request at all.

    Args:
        runner: genai-bench's own, which registers what listens.
        worker_class: locust's, which joins when it is made.
    """
    join, listen = worker_class.connect_to_master, runner._register_message_handlers

    def listen_and_join(worker: Any) -> None:
        if not worker.custom_messages:
            runner.environment.runner = worker
            listen()
            runner.environment.runner = None  # or its own assignment is refused
        join(worker)

    worker_class.connect_to_master = listen_and_join
    runner._register_message_handlers = lambda: None  # a second time is refused
