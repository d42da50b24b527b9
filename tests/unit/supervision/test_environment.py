import os
import subprocess
import sys

import pytest

from autotuner.supervision.environment import (
    KernelFacts,
    clean_environment,
    is_secret_name,
    kernel_facts,
    mask_secrets,
)


@pytest.mark.parametrize(
    "name",
    [
        "RAY_ADDRESS",
        "RAY_JOB_CONFIG_JSON_ENV_VAR",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONBREAKPOINT",
        "OMP_NUM_THREADS",
        "VIRTUAL_ENV",
        "__PYVENV_LAUNCHER__",
    ],
)
def test_what_ray_and_python_put_in_is_dropped(name):
    assert name not in clean_environment({name: "1"})


def test_what_is_not_theirs_is_kept():
    base = {"PATH": "/bin", "HF_HOME": "/models", "ARRAY_SIZE": "3", "CUDA_VISIBLE_DEVICES": "0"}
    assert base.items() <= clean_environment(base).items()


def test_the_study_may_add_what_was_dropped():
    added = {"OMP_NUM_THREADS": "8", "PYTHONPATH": "/plugins"}
    cleaned = clean_environment({"OMP_NUM_THREADS": "1"}, add=added)
    assert added.items() <= cleaned.items()


def test_our_own_environment_is_the_base(monkeypatch):
    monkeypatch.setenv("OF_THIS_TEST", "here")
    monkeypatch.setenv("RAY_OF_THIS_TEST", "here")
    cleaned = clean_environment()
    assert cleaned["OF_THIS_TEST"] == "here"
    assert "RAY_OF_THIS_TEST" not in cleaned


def test_the_base_is_left_as_it_was():
    base = {"RAY_ADDRESS": "auto", "NO_PROXY": "internal"}
    clean_environment(base)["MORE"] = "1"
    assert base == {"RAY_ADDRESS": "auto", "NO_PROXY": "internal"}


@pytest.mark.parametrize(
    ("base", "hosts"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "internal,localhost"}, "internal,localhost,127.0.0.1"),
        ({"no_proxy": "internal"}, "internal,127.0.0.1,localhost"),
    ],
)
def test_no_proxy_comes_between_us_and_the_server_beside_us(base, hosts):
    cleaned = clean_environment({"HTTP_PROXY": "http://proxy:3128", **base})
    assert cleaned["NO_PROXY"] == cleaned["no_proxy"] == hosts


def test_output_is_unbuffered_and_the_environment_stays_readable():
    cleaned = clean_environment({})
    assert (cleaned["PYTHONUNBUFFERED"], cleaned["SPT_NOENV"]) == ("1", "1")


def test_the_kernel_tells_of_a_live_process():
    code = "import os, sys; os.nice(4); print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        facts = kernel_facts(process.pid)
        process.stdin.close()
    assert facts.nice == os.nice(0) + 4
    assert facts.oom_score_adj is not None


@pytest.mark.parametrize("pid", [None, 2**22 + 1])
def test_of_no_process_nothing_is_claimed(pid):
    assert kernel_facts(pid) == KernelFacts(None, None)


@pytest.mark.parametrize(
    "name", ["VLLM_API_KEY", "hf_token", "DB_PASSWORD", "CLIENT_SECRET", "GOOGLE_CREDENTIALS"]
)
def test_a_secret_is_known_by_its_name(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["HF_HOME", "PATH", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM"])
def test_a_plain_name_is_no_secret(name):
    assert not is_secret_name(name)


def test_every_secret_is_masked_wherever_it_stands():
    text = "key=abc123 and abc123, token xyz"
    assert mask_secrets(text, ["abc123", "xyz"]) == "key=*** and ***, token ***"


def test_an_empty_secret_masks_nothing():
    assert mask_secrets("text", ["", "other"]) == "text"


def test_a_secret_that_begins_with_another_is_masked_whole():
    assert mask_secrets("abc123-more", ["abc123", "abc123-more"]) == "***"
