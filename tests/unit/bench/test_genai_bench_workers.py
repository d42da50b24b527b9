"""Of `genai_bench_workers` what can be told without genai-bench; the rest is a contract test."""

from types import SimpleNamespace

from autotuner.bench.genai_bench_workers import listen_before_joining


class Joining:
    """Stands for locust's worker: it joins when it is made, again when nobody answers."""

    def __init__(self, seen):
        self.custom_messages = {}
        self.seen = seen
        self.connect_to_master()

    def connect_to_master(self):
        self.seen.append(f"joins, hears {sorted(self.custom_messages)}")


def test_a_worker_hears_what_it_is_told_before_it_joins():
    class Worker(Joining): ...

    environment = SimpleNamespace(runner=None)

    def listen():
        environment.runner.custom_messages["update_scenario"] = None
        runner.seen.append("listens")

    runner = SimpleNamespace(environment=environment, seen=[], _register_message_handlers=listen)
    listen_before_joining(runner, Worker)
    worker = Worker(runner.seen)
    assert runner.seen == ["listens", "joins, hears ['update_scenario']"]
    assert environment.runner is None  # locust refuses an environment that has one
    worker.connect_to_master()
    runner._register_message_handlers()
    assert runner.seen[2:] == ["joins, hears ['update_scenario']"]
