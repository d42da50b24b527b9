import pytest
from docker.errors import APIError

from autotuner.launchers.docker.container import container_order
from autotuner.launchers.docker.faults import fault_at_start, fault_of_end, fault_of_pull
from autotuner.spec.experiment import FailureKind

SAID_AT_START = [
    (
        'could not select device driver "" with capabilities: [[gpu]]',
        FailureKind.LAUNCH_FAILED,
        "the GPUs 0,3 cannot be given",
    ),
    (
        "failed to create shim task: nvidia-container-cli: device error: 3: unknown device",
        FailureKind.LAUNCH_FAILED,
        "nvidia-smi",
    ),
    (
        "Unknown runtime specified nvidia",
        FailureKind.LAUNCH_FAILED,
        "docker.runtime = nvidia",
    ),
    (
        "unknown or invalid runtime name: nvidia",
        FailureKind.LAUNCH_FAILED,
        "docker.runtime = nvidia",
    ),
    (
        'invalid mount config for type "bind": bind source path does not exist: /data/x',
        FailureKind.LAUNCH_FAILED,
        "/data/x is to be mounted",
    ),
    (
        "driver failed programming external connectivity on endpoint e: Bind for 127.0.0.1:8000 "
        "failed: port is already allocated",
        FailureKind.PORT_TAKEN,
        "taken",
    ),
    (
        "OCI runtime create failed: error setting rlimit type 8: operation not permitted",
        FailureKind.LAUNCH_FAILED,
        "docker.ulimits = {'memlock': -1}",
    ),
    (
        "mkdir /var/lib/docker/overlay2/x: no space left on device",
        FailureKind.DISK_FULL,
        "docker system prune",
    ),
    (
        'Conflict. The container name "/autotuner-x" is already in use by container "c"',
        FailureKind.LAUNCH_FAILED,
        "docker rm --force autotuner-5tudy-e1-a2-01234567",
    ),
    (
        "unable to find user me: no matching entries in passwd file",
        FailureKind.LAUNCH_FAILED,
        "docker.user = me",
    ),
    (
        "Requested CPUs are not available - requested 7, available: 0-1",
        FailureKind.LAUNCH_FAILED,
        "resources.cpus.server = 7",
    ),
    (
        "Minimum memory limit allowed is 6MB",
        FailureKind.LAUNCH_FAILED,
        "docker.memory_gib = 2",
    ),
    ("network bridge not found", FailureKind.LAUNCH_FAILED, "docker.network = host"),
    (
        'exec: "program": executable file not found in $PATH: unknown',
        FailureKind.LAUNCH_FAILED,
        "no program program",
    ),
    ("something new", FailureKind.LAUNCH_FAILED, "something new"),
]
SAID_OF_A_PULL = [
    ("pull access denied for x, repository does not exist or may require", "docker login"),
    ("manifest for x:9 not found: manifest unknown", "none of this name and tag"),
    ("no matching manifest for linux/arm64/v8 in the manifest list", "kind of CPU"),
    ("dial tcp: lookup registry-1.docker.io: no such host", "does not reach its registry"),
    ("net/http: TLS handshake timeout", "does not reach its registry"),
    ("toomanyrequests: rate limit", "toomanyrequests"),
]


@pytest.fixture
def order(make_request):
    return container_order(
        make_request(
            gpu_ids=("0", "3"), ulimits={"memlock": -1}, user="me", cpus=(7,), memory_gib=2
        )
    )


@pytest.mark.parametrize(("text", "kind", "told"), SAID_AT_START)
def test_what_docker_says_at_the_start_becomes_one_sentence_with_the_fix(order, text, kind, told):
    fault = fault_at_start(APIError("500 Server Error", explanation=text), order)
    assert fault.kind is kind
    assert told in fault.message
    assert "\n" not in fault.message
    assert fault.evidence == text


@pytest.mark.parametrize(("text", "told"), SAID_OF_A_PULL)
def test_what_docker_says_of_a_pull_becomes_one_sentence_with_the_fix(text, told):
    fault = fault_of_pull(RuntimeError(text), "an/image:1")
    assert fault.kind is FailureKind.LAUNCH_FAILED
    assert "the image an/image:1 cannot be pulled" in fault.message
    assert told in fault.message


def test_a_disk_that_a_pull_fills_is_a_full_disk():
    fault = fault_of_pull(RuntimeError("write /x: no space left on device"), "an/image:1")
    assert fault.kind is FailureKind.DISK_FULL


def test_an_end_for_want_of_memory_names_the_limit(order):
    fault = fault_of_end({"OOMKilled": True, "ExitCode": 137}, order, "")
    assert fault.kind is FailureKind.OUT_OF_MEMORY_AT_LOAD
    assert "2 GiB" in fault.message
    assert "docker.memory_gib" in fault.message


def test_without_a_limit_it_was_the_nodes_memory(make_request):
    fault = fault_of_end({"OOMKilled": True, "ExitCode": 137}, container_order(make_request()), "")
    assert "the node's own" in fault.message


def test_a_program_that_the_init_process_does_not_find_is_missing_in_the_image(order):
    said = "[FATAL tini (7)] exec program failed: No such file or directory\n"
    fault = fault_of_end({"ExitCode": 127}, order, said)
    assert fault.kind is FailureKind.LAUNCH_FAILED
    assert "the image an/image:1 has no program program" in fault.message
    assert fault.evidence in said


@pytest.mark.parametrize("status", [0, 1, 127, 137, 139])
def test_of_any_other_end_its_log_is_to_tell(order, status):
    assert fault_of_end({"ExitCode": status, "Error": ""}, order, "Traceback") is None
