"""Every engine against logs of real servers; `logs/README.md` says where each comes from."""

from pathlib import Path

import pytest

from autotuner.engines.custom import CustomEngine
from autotuner.engines.registry import load_engine
from autotuner.engines.symptoms import Symptom, read_log
from autotuner.spec.experiment import FailureKind as Kind

LOGS = Path(__file__).parent / "logs"

AT_START = [
    ("vllm", "vllm_bad_flag", Kind.CONFIG_REJECTED, "--max-num-sequences"),
    ("vllm", "vllm_bad_value", Kind.CONFIG_REJECTED, "invalid int value: 'many'"),
    ("vllm", "vllm_bad_choice", Kind.CONFIG_REJECTED, "invalid choice: 'float8'"),
    ("vllm", "vllm_bad_number", Kind.CONFIG_REJECTED, "greater than or equal to 1"),
    ("vllm", "vllm_bad_length", Kind.CONFIG_REJECTED, "max_model_len (9999999)"),
    ("vllm", "vllm_bad_combination", Kind.CONFIG_REJECTED, "max_num_seqs (16)"),
    ("vllm", "vllm_too_few_gpus", Kind.CONFIG_REJECTED, "World size (4)"),
    ("vllm", "vllm_missing_folder", Kind.MODEL_NOT_FOUND, "/models/none"),
    ("vllm", "vllm_missing_hub", Kind.MODEL_NOT_FOUND, "LocalEntryNotFoundError"),
    ("vllm", "vllm_empty_folder", Kind.MODEL_NOT_FOUND, "/models/empty"),
    ("vllm", "vllm_port_taken", Kind.PORT_TAKEN, "Address already in use"),
    ("vllm", "vllm_console_script", Kind.LAUNCH_FAILED, "metadata was found for vllm"),
    ("vllm", "vllm_not_installed", Kind.LAUNCH_FAILED, "No module named 'vllm'"),
    ("vllm", "vllm_kv_cache_too_small", Kind.OUT_OF_MEMORY_AT_LOAD, "15.26 GiB"),
    ("vllm", "vllm_kv_cache_larger_than_host", Kind.OUT_OF_MEMORY_AT_LOAD, "100.0 GiB"),
    ("vllm", "vllm_no_cache_blocks", Kind.OUT_OF_MEMORY_AT_LOAD, "cache blocks"),
    ("vllm", "vllm_device_in_use", Kind.OUT_OF_MEMORY_AT_LOAD, "Free memory on device"),
    ("vllm", "torch_out_of_memory_at_load", Kind.OUT_OF_MEMORY_AT_LOAD, "1.00 GiB"),
    ("vllm", "nccl_error", Kind.SERVER_CRASHED, "NCCL error"),
    ("vllm", "disk_full", Kind.DISK_FULL, "No space left"),
    ("vllm", "transformers_missing_model", Kind.MODEL_NOT_FOUND, "some-owner/some-model"),
    ("sglang", "transformers_missing_file", Kind.MODEL_NOT_FOUND, "config.json"),
    ("sglang", "sglang_bad_flag", Kind.CONFIG_REJECTED, "--enable_metrics"),
    ("sglang", "sglang_pool_too_small", Kind.OUT_OF_MEMORY_AT_LOAD, "mem_fraction_static=0.2"),
    ("sglang", "sglang_illegal_access", Kind.SERVER_CRASHED, "illegal memory access"),
    ("sglang", "torch_out_of_memory_at_load", Kind.OUT_OF_MEMORY_AT_LOAD, "1.00 GiB"),
    ("vllm", "flashinfer_workspace", Kind.OUT_OF_MEMORY_AT_LOAD, "batch_prefill_tmp_v"),
    ("vllm", "nccl_shared_memory_full", Kind.DISK_FULL, "/dev/shm/nccl-"),
    ("vllm", "disk_full_at_download", Kind.DISK_FULL, "os error 28"),
    ("vllm", "vllm_memory_changed", Kind.DIRTY_GPU, "90.00 GiB"),
    ("vllm", "no_gpu", Kind.SERVER_CRASHED, "No CUDA GPUs"),
    ("sglang", "sglang_bad_choice", Kind.CONFIG_REJECTED, "invalid choice: 'triton'"),
    ("sglang", "sglang_port_taken", Kind.PORT_TAKEN, "metrics_port at 40000"),
    ("sglang", "sglang_nccl_error", Kind.SERVER_CRASHED, "unhandled system error"),
    ("custom", "disk_full_at_download", Kind.DISK_FULL, "os error 28"),
    ("custom", "torch_out_of_memory_at_load", Kind.OUT_OF_MEMORY_AT_LOAD, "1.00 GiB"),
]

UNDER_LOAD = [
    ("vllm", "torch_out_of_memory_under_load", Kind.OUT_OF_MEMORY_UNDER_LOAD, "50.00 MiB"),
    ("sglang", "sglang_out_of_slots_under_load", Kind.OUT_OF_MEMORY_UNDER_LOAD, "alloc_req_slots"),
    ("sglang", "sglang_illegal_access", Kind.SERVER_CRASHED, "illegal memory access"),
    ("vllm", "disk_full", Kind.DISK_FULL, "No space left"),
    ("vllm", "vllm_worker_timed_out", Kind.SERVER_CRASHED, "execute_model timed out"),
    ("sglang", "sglang_prefill_out_of_memory", Kind.OUT_OF_MEMORY_UNDER_LOAD, "Prefill"),
    ("sglang", "flashinfer_workspace", Kind.OUT_OF_MEMORY_UNDER_LOAD, "workspace buffer"),
]


def log(name):
    return (LOGS / f"{name}.log").read_text()


@pytest.mark.parametrize(("engine", "name", "kind", "evidence"), AT_START)
def test_a_failed_start_is_understood_with_the_line_that_says_so(engine, name, kind, evidence):
    diagnosis = load_engine(engine).diagnose(log(name), ready=False)
    assert diagnosis is not None
    assert diagnosis.kind is kind
    assert evidence in diagnosis.evidence
    assert diagnosis.message.endswith(".")


@pytest.mark.parametrize(("engine", "name", "kind", "evidence"), UNDER_LOAD)
def test_a_death_under_load_is_understood(engine, name, kind, evidence):
    diagnosis = load_engine(engine).diagnose(log(name), ready=True)
    assert diagnosis is not None
    assert diagnosis.kind is kind
    assert evidence in diagnosis.evidence


@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.parametrize("engine", ["vllm", "sglang", "custom", "sim"])
def test_the_warnings_of_a_healthy_start_are_no_symptoms(engine, ready):
    assert load_engine(engine).diagnose(log("vllm_healthy"), ready=ready) is None


def test_every_log_is_read_by_a_test():
    tested = {name for _, name, *_ in AT_START + UNDER_LOAD} | {"vllm_healthy"}
    assert tested == {path.stem for path in LOGS.glob("*.log")}


def test_a_refused_request_is_not_taken_for_a_refused_configuration():
    text = "pydantic_core._pydantic_core.ValidationError: 1 validation error for Request\n  Value "
    text += "error, max_tokens must be at least 1\nValueError: bad request\n"
    assert load_engine("vllm").diagnose(text, ready=True) is None


def test_the_order_of_the_table_decides_and_not_that_of_the_log():
    table = [
        Symptom.of("cause", Kind.CONFIG_REJECTED, "The cause."),
        Symptom.of("consequence", Kind.SERVER_CRASHED, "The consequence."),
    ]
    found = read_log("the cause\nthe consequence\n", table, ready=False)
    assert found == (Kind.CONFIG_REJECTED, "The cause.", "the cause")


def test_the_last_of_several_matching_lines_is_the_evidence():
    table = [Symptom.of("out of memory", Kind.OUT_OF_MEMORY_AT_LOAD, "None left.")]
    found = read_log("out of memory 1\nout of memory 2\nend", table, ready=False)
    assert found is not None
    assert found[2] == "out of memory 2"


def test_evidence_can_take_the_lines_that_follow():
    table = [Symptom.of("error", Kind.CONFIG_REJECTED, "No.", lines_after=1)]
    found = read_log("an error\nits reason\nmore", table, ready=False)
    assert found is not None
    assert found[2] == "an error\nits reason"


def test_colours_are_not_part_of_the_evidence_and_its_length_is_limited():
    table = [Symptom.of("error", Kind.CONFIG_REJECTED, "No.")]
    found = read_log("\x1b[31merror\x1b[0m " + "x" * 10_000, table, ready=False)
    assert found is not None
    assert found[2].startswith("error xxx")
    assert len(found[2]) < 1000


def test_a_compilers_error_is_not_taken_for_a_refused_command_line():
    text = "kernel.cpp:3:10: fatal error: omp.h: No such file or directory\nnvcc: error: no\n"
    assert CustomEngine().diagnose(text, ready=False) is None


def test_shared_memory_is_not_called_a_disk():
    diagnosis = load_engine("vllm").diagnose(log("nccl_shared_memory_full"), ready=False)
    assert diagnosis is not None
    assert "/dev/shm" in diagnosis.message


def test_an_empty_log_says_nothing():
    assert CustomEngine().diagnose("", ready=False) is None
