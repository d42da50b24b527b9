"""What the launcher, the load generator and the rows are given."""

from __future__ import annotations

from dataclasses import replace

from autotuner.node.preparation import prepare
from autotuner.spec.study import BenchConfig, BenchmarkJobSettings
from autotuner.supervision.lease import Lease

SECRET = "hf_0123456789"  # noqa: S105


def prepared(make_order, tmp_path, *, address=None, **engine):
    order = make_order(engine="vllm", environment={"HF_TOKEN": SECRET, **engine})
    lease = Lease(order.attempt.id, "study", "token-1", "boot", "pid:[1]", tmp_path)
    return prepare(order, ("3", "5"), lease, address=address)


def test_the_server_sees_the_devices_that_were_reserved_and_the_load_none(make_order, tmp_path):
    ready = prepared(make_order, tmp_path)
    assert ready.environment["CUDA_VISIBLE_DEVICES"] == "3,5"
    assert ready.load_context().environment["CUDA_VISIBLE_DEVICES"] == ""


def test_the_load_gets_the_hubs_variables_and_no_others_of_the_engine(make_order, tmp_path):
    ready = prepared(make_order, tmp_path, VLLM_CPU_KVCACHE_SPACE="1")
    environment = ready.load_context().environment
    assert environment["HF_TOKEN"] == SECRET
    assert "VLLM_CPU_KVCACHE_SPACE" not in environment


def test_the_engines_key_is_sent_by_clients(make_order, tmp_path):
    ready = prepared(make_order, tmp_path, VLLM_API_KEY="s3cret-key")
    assert ready.target("http://127.0.0.1:1").api_key == "s3cret-key"
    assert prepared(make_order, tmp_path).target("http://127.0.0.1:1").api_key is None


def test_the_load_has_as_many_workers_as_the_study_says(make_order, tmp_path):
    ready = prepared(make_order, tmp_path)
    assert ready.load_context().workers == 0
    order = replace(ready.order, bench=BenchConfig(workers=4))
    assert replace(ready, order=order).load_context().workers == 4


def test_the_command_that_is_recorded_names_this_attempts_server(make_order, tmp_path):
    ready = prepared(make_order, tmp_path)
    recorded: list[str] = []
    request = ready.launch_request(recorded.append)
    words = request.command(request.server, "127.0.0.1", 8123)
    assert ready.order.attempt.served_name in words
    assert "--port 8123" in recorded[0]


def test_a_server_that_is_no_process_gets_the_study_s_variables_and_not_the_node_s(
    make_order, tmp_path, monkeypatch
):
    monkeypatch.setenv("OF_THE_NODE", "1")
    request = prepared(make_order, tmp_path, OF_THE_STUDY="1").launch_request(lambda _: None)
    assert request.variables["OF_THE_STUDY"] == "1"
    assert {"OF_THE_NODE", "CUDA_VISIBLE_DEVICES", "TMPDIR"} & set(request.variables) == set()
    assert {"OF_THE_NODE", "OF_THE_STUDY", "CUDA_VISIBLE_DEVICES"} <= set(request.environment)
    assert request.gpu_ids == ("3", "5")


def test_no_proxy_comes_between_the_load_and_a_server_elsewhere(make_order, tmp_path):
    environment = prepared(make_order, tmp_path).load_context("http://10.1.2.3:8000").environment
    assert "10.1.2.3" in environment["NO_PROXY"].split(",")


def test_a_load_generator_outside_of_the_node_knows_the_attempt_and_its_server(
    make_order, tmp_path
):
    ready = prepared(make_order, tmp_path)
    job = BenchmarkJobSettings("pvc://results/tuning")
    order = replace(ready.order, bench=BenchConfig("ome-benchmarkjob", benchmark_job=job))
    context = replace(ready, order=order).load_context()
    assert (context.benchmark_job, context.lease) == (job, ready.lease)
    server = ready.order.attempt.experiment
    assert (context.launch, context.gpus) == (server.server.launch, server.footprint.gpus)


OF_RANKS = ("GLOO_SOCKET_IFNAME", "VLLM_HOST_IP")


def test_a_rank_is_told_its_address_and_the_interface_that_has_it(
    make_order, tmp_path, monkeypatch
):
    for name in OF_RANKS:
        monkeypatch.delenv(name, raising=False)
    rank = prepared(make_order, tmp_path, address="127.0.0.1").environment
    assert [rank[name] for name in OF_RANKS] == ["lo", "127.0.0.1"]
    assert not set(OF_RANKS) & set(prepared(make_order, tmp_path).environment)
    nobodys = prepared(make_order, tmp_path, address="192.0.2.77").environment
    assert "GLOO_SOCKET_IFNAME" not in nobodys


def test_the_network_that_the_study_or_the_node_names_wins(make_order, tmp_path, monkeypatch):
    theirs = {"GLOO_SOCKET_IFNAME": "ib0", "VLLM_HOST_IP": "10.9.9.9"}
    rank = prepared(make_order, tmp_path, address="127.0.0.1", **theirs).environment
    assert {name: rank[name] for name in OF_RANKS} == theirs
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    rank = prepared(make_order, tmp_path, address="127.0.0.1").environment
    assert {name: rank[name] for name in OF_RANKS} == theirs
