import json
import re

import pytest

from autotuner.errors import LaunchError
from autotuner.launchers.docker.container import container_name, container_order
from autotuner.spec.launching import Mount


@pytest.fixture
def order(make_request):
    return lambda **changes: container_order(make_request(**changes))


def host_config(order):
    return order["config"]["HostConfig"]


def variables(order):
    return dict(entry.split("=", 1) for entry in order["config"]["Env"])


def mounts(order):
    return {
        mount["Target"]: (mount["Source"], mount["ReadOnly"])
        for mount in host_config(order)["Mounts"]
    }


def test_an_order_is_plain_json(order):
    made = order(gpu_ids=("0",), ulimits={"nofile": 1}, network="bridge", hub_cache="/tmp")
    assert json.loads(json.dumps(made)) == made


def test_the_program_takes_the_place_of_the_images_own_entrypoint(order):
    config = order()["config"]
    assert config["Entrypoint"] == ["program"]
    assert config["Cmd"][0] == "--host"


def test_on_the_hosts_network_the_server_binds_loopback_alone(order):
    made = order()
    _, host, _, port = made["config"]["Cmd"]
    assert host == "127.0.0.1"
    assert made["url"] == f"http://127.0.0.1:{port}"
    assert host_config(made)["NetworkMode"] == "host"
    assert "PortBindings" not in host_config(made)


def test_on_a_bridge_the_port_is_published_on_loopback_alone(order):
    made = order(network="bridge")
    assert made["config"]["Cmd"][1] == "0.0.0.0"
    assert made["url"] is None
    (published,) = host_config(made)["PortBindings"].values()
    assert published == [{"HostIp": "127.0.0.1", "HostPort": ""}]


def test_gpus_are_named_one_by_one_and_never_by_cudas_variable(order):
    made = order(gpu_ids=("0", "3"), variables={"CUDA_VISIBLE_DEVICES": "0,3", "A": "1"})
    (request,) = host_config(made)["DeviceRequests"]
    assert request == {"DeviceIDs": ["0", "3"], "Capabilities": [["gpu"]]}
    assert "CUDA_VISIBLE_DEVICES" not in variables(made)
    assert variables(made)["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert variables(made)["A"] == "1"


def test_without_gpus_none_are_asked_for_nor_given_by_a_default_runtime(order):
    made = order(variables={"NVIDIA_VISIBLE_DEVICES": "all"})
    assert "DeviceRequests" not in host_config(made)
    assert variables(made)["NVIDIA_VISIBLE_DEVICES"] == "void"


def test_the_hubs_token_is_the_nodes_unless_the_study_sets_one(order):
    name = "HF_TOKEN"
    assert variables(order(environment={name: "nodes"}))[name] == "nodes"
    made = order(environment={name: "nodes"}, variables={name: "studys"})
    assert variables(made)[name] == "studys"
    assert name not in variables(order())


def test_a_model_folder_is_mounted_read_only_at_its_own_path(order, tmp_path):
    path = str(tmp_path / "model")
    assert mounts(order()) == {path: (path, True)}


def test_what_a_snapshot_of_the_hub_links_to_is_mounted_too(order, tmp_path):
    snapshot, blobs = tmp_path / "hub" / "snapshots" / "abc", tmp_path / "hub" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "123").touch()
    (snapshot / "config.json").symlink_to("../../blobs/123")
    (snapshot / "inside.json").symlink_to("config.json")
    assert set(mounts(order(model=str(snapshot)))) == {str(snapshot), str(blobs)}


def test_the_engines_own_tokenizer_is_mounted_too(order, tmp_path):
    made = order(flags={"tokenizer": "/tokenizers/one", "other": "/not/this"})
    assert set(mounts(made)) == {"/tokenizers/one", str(tmp_path / "model")}


def test_a_hub_id_brings_the_nodes_cache_with_it(order, tmp_path):
    made = order(model="org/model", environment={"HF_HOME": str(tmp_path / "cache")})
    assert (tmp_path / "cache").is_dir()
    home = variables(made)["HF_HOME"]
    assert mounts(made) == {home: (str(tmp_path / "cache"), False)}


def test_the_studys_cache_wins_and_its_own_place_for_it_too(order, tmp_path):
    made = order(
        hub_cache=str(tmp_path / "mine"),
        environment={"HF_HOME": "/nodes"},
        variables={"HF_HOME": "/in/the/image"},
    )
    assert mounts(made)["/in/the/image"] == (str(tmp_path / "mine"), False)
    assert variables(made)["HF_HOME"] == "/in/the/image"


def test_a_cache_that_cannot_be_made_is_told_with_its_key(order):
    with pytest.raises(LaunchError, match=r"docker\.hub_cache = /proc/none"):
        order(hub_cache="/proc/none/cache")


def test_the_studys_mounts_win_over_ours(order, tmp_path):
    path = str(tmp_path / "model")
    made = order(mounts=(Mount("/elsewhere", path, read_only=False), Mount("/a", "/b")))
    assert mounts(made) == {path: ("/elsewhere", False), "/b": ("/a", True)}


def test_a_compile_cache_has_the_same_path_inside_and_outside(order, tmp_path):
    """Triton's caches name their files by absolute paths."""
    cache = tmp_path / "cache"
    assert mounts(order(cache=cache))[str(cache)] == (str(cache), False)


def test_limits_and_choices_reach_docker(order):
    made = order(
        cpus=(0, 2),
        shm_gib=0.5,
        memory_gib=2,
        runtime="nvidia",
        user="1000:1000",
        ulimits={"memlock": -1},
    )
    host = host_config(made)
    assert host["CpusetCpus"] == "0,2"
    assert host["ShmSize"] == 2**29
    assert host["Memory"] == host["MemorySwap"] == 2**31  # no swap
    assert host["Runtime"] == "nvidia"
    assert host["Ulimits"] == [{"Name": "memlock", "Soft": -1, "Hard": -1}]
    assert made["config"]["User"] == "1000:1000"


def test_what_is_not_set_is_left_to_docker_and_the_image(order):
    made = order()
    assert not {"Memory", "Runtime", "CpusetCpus"} & host_config(made).keys()
    assert "User" not in made["config"]


def test_the_hosts_shared_memory_has_no_size_of_ours(order):
    host = host_config(order(ipc="host"))
    assert host["IpcMode"] == "host"
    assert "ShmSize" not in host


def test_docker_keeps_little_of_the_log(order):
    config = host_config(order())["LogConfig"]["Config"]
    assert (config["max-size"], config["max-file"]) == ("16m", "2")


def test_the_images_health_check_does_not_run(order):
    assert order()["config"]["Healthcheck"] == {"Test": ["NONE"]}


def test_a_container_says_whose_it_is(order):
    labels = order()["config"]["Labels"]
    assert labels["autotuner.study"] == "5tudy"
    assert labels["autotuner.experiment"] == "e1"
    assert labels["autotuner.attempt"] == "e1-a2"
    assert labels["autotuner.lease"] == "0123456789abcdef"


def test_a_name_is_legal_and_unlike_that_of_another_try(make_request):
    name = container_name(make_request(study_id="a study/ä"))
    assert re.fullmatch(r"autotuner-a-study---e1-a2-01234567", name)


def test_no_image_and_foreign_settings_are_refused(make_request):
    with pytest.raises(LaunchError, match=r"engine\.image"):
        container_order(make_request(image=None))
