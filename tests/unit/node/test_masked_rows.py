"""What the rows of a level say of its load, and what they must not."""

from __future__ import annotations

import pytest

from autotuner.bench.base import LevelLoad
from autotuner.node.masked_rows import masked_rows
from autotuner.node.preparation import prepare
from autotuner.results.levels import RequestRecord, RequestStatus
from autotuner.results.node_cpus import NodeCpus
from autotuner.supervision.lease import Lease

SECRET = "hf_0123456789"  # noqa: S105


@pytest.fixture
def ready(make_order, tmp_path):
    order = make_order(engine="vllm", environment={"HF_TOKEN": SECRET})
    lease = Lease(order.attempt.id, "study", "token-1", "boot", "pid:[1]", tmp_path)
    return prepare(order, ("3", "5"), lease)


def test_a_servers_error_message_is_stored_without_secrets(ready):
    level = ready.order.attempt.experiment.levels[0]
    failed = RequestRecord(
        0, RequestStatus.FAILED, 0.0, error_code=401, error_message=f"bad token {SECRET}"
    )
    result = masked_rows(ready, LevelLoad(level, (failed,), None))
    assert result.requests["error_message"].to_pylist() == ["bad token ***"]
    assert SECRET not in str(result.reason)


def test_what_the_load_cost_is_in_the_levels_row(ready):
    level = ready.order.attempt.experiment.levels[0]
    done = RequestRecord(0, RequestStatus.COMPLETED, 0.0, e2e_latency_s=2.0)
    cpus = NodeCpus(8, 2.5, 0.5)
    load = LevelLoad(level, (done,), None, client_cpu_s=(1.5, 0.5), cpus=cpus)
    result = masked_rows(ready, load)
    assert result.summary["client_processes"] == 2
    assert result.summary["client_cpu_share"] == 0.75
    assert result.summary["foreign_cpus"] == 0.5


def test_a_level_without_times_is_as_long_as_the_load_generator_tells(ready):
    level = ready.order.attempt.experiment.levels[0]
    done = RequestRecord(0, RequestStatus.COMPLETED, None, e2e_latency_s=2.0, output_tokens=8)
    result = masked_rows(ready, LevelLoad(level, (done,), None, duration_s=4.0))
    assert result.summary["output_throughput_tok_s"] == 2.0
    assert result.summary["requests_cut"] is None
