import socket

import pytest

from autotuner.launchers.docker.daemon import (
    DockerFaultError,
    connected,
    daemon_address,
    unreachable,
)


def test_the_studys_daemon_wins_over_the_nodes():
    node = {"DOCKER_HOST": "unix:///nodes.sock"}
    assert daemon_address("unix:///studys.sock", node) == "unix:///studys.sock"
    assert daemon_address(None, node) == "unix:///nodes.sock"
    assert daemon_address(None, {}) == "unix:///var/run/docker.sock"


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:2375", "tcp://localhost:2375"])
def test_a_daemon_behind_loopback_is_the_nodes_own(address):
    assert daemon_address(address, {}) == address


@pytest.mark.parametrize("address", ["tcp://192.0.2.1:2375", "tcp://docker:2375", "ssh://host"])
def test_a_daemon_of_another_machine_is_refused_with_the_key_that_names_it(address):
    with pytest.raises(DockerFaultError) as caught:
        daemon_address(address, {})
    assert f"docker.daemon = {address}" in caught.value.fault.message
    with pytest.raises(DockerFaultError) as caught:
        daemon_address(None, {"DOCKER_HOST": address})
    assert f"DOCKER_HOST = {address}" in caught.value.fault.message


def test_a_socket_that_is_not_there_and_one_where_nobody_listens(tmp_path):
    path = tmp_path / "docker.sock"
    with pytest.raises(DockerFaultError, match="no such socket"), connected(f"unix://{path}"):
        pass
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
    with pytest.raises(DockerFaultError, match="nobody listens"), connected(f"unix://{path}"):
        pass


def test_a_socket_that_is_not_for_this_user():
    fault = unreachable("unix:///x", PermissionError(13, "Permission denied"))
    assert "may not use its socket" in fault.message
