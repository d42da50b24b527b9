"""What every Ray cluster of ours must be, whoever runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from kuberay.manifests import (
    FOLDER,
    documents,
    driver_group,
    groups,
    measuring_groups,
    pod_specs,
    ray_clusters,
    the,
)
from kuberay.ray_start import start_words
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)
from ray.scripts.scripts import start

Object = dict[str, Any]

CLUSTERS = sorted({name for name, _ in ray_clusters()})
TOKEN = {"secretKeyRef": {"name": "ray-token", "key": "auth_token"}}


@pytest.fixture(params=CLUSTERS)
def cluster(request: pytest.FixtureRequest) -> Object:
    (spec,) = (each for name, each in ray_clusters() if name == request.param)
    return spec


@pytest.fixture
def workers(cluster: Object) -> list[Object]:
    """Where experiments run."""
    return measuring_groups(cluster)


def container(group: Object) -> Object:
    (found,) = group["template"]["spec"]["containers"]
    return dict(found)


def variables(group: Object) -> Object:
    return {
        each["name"]: each.get("value", each.get("valueFrom")) for each in container(group)["env"]
    }


def mounts(group: Object) -> dict[str, str]:
    """What is mounted where: the claim, object or medium by its path."""
    sources = {}
    for volume in group["template"]["spec"]["volumes"]:
        ((kind, source),) = ((k, v) for k, v in volume.items() if k != "name")
        name = {"persistentVolumeClaim": "claimName", "emptyDir": "medium"}.get(kind, "name")
        sources[volume["name"]] = source[name]
    return {each["mountPath"]: sources[each["name"]] for each in container(group)["volumeMounts"]}


def started(cluster: Object, group: Object) -> Object:
    """What `ray start` reads of the words that the operator makes of a group."""
    head = group is cluster["headGroupSpec"]
    words = start_words(group, head=head, autoscaling=cluster["enableInTreeAutoscaling"])
    return dict(start.make_context("start", words).params)


def test_there_are_clusters_to_test() -> None:
    assert CLUSTERS == ["raycluster-pods.yaml", "raycluster.yaml", "rayjob-ephemeral.yaml"]


def test_every_container_has_the_token_and_is_told_to_ask_for_it(cluster: Object) -> None:
    assert cluster["authOptions"] == {"mode": "token", "secretName": "ray-token"}
    for group in groups(cluster):
        assert variables(group)["RAY_AUTH_MODE"] == "token"
        assert variables(group)["RAY_AUTH_TOKEN"] == TOKEN


def test_nothing_is_measured_beside_the_head_or_a_driver(
    cluster: Object, workers: list[Object]
) -> None:
    assert workers
    for group in (cluster["headGroupSpec"], driver_group(cluster)):
        assert group not in workers
        assert started(cluster, group)["num_cpus"] == 0
        assert not started(cluster, group)["num_gpus"]


def test_ray_leaves_priorities_of_drivers_and_servers_alone(cluster: Object) -> None:
    for group in groups(cluster):
        told = variables(group)
        assert told["RAY_worker_niceness"] == "0"
        assert told["RAY_worker_oom_score_adjustment"] == "0"
        assert told["RAY_process_group_cleanup_enabled"] == "1"


def test_orphans_have_a_parent_that_reaps_them(cluster: Object) -> None:
    """`ray start` as process 1 does not; the pause container of a pod does, where it is."""
    for group in groups(cluster):
        assert group["template"]["spec"]["shareProcessNamespace"] is True


def test_no_variable_of_ray_is_misspelt(cluster: Object) -> None:
    """Ray ignores those that it does not know; it reads its settings as RAY_ and their name."""
    package = Path(ray.__file__).parent
    raylet = (package / "core/src/ray/raylet/raylet").read_bytes()
    sources = (package / "_private/authentication", package / "_common/usage")
    written = b"".join(path.read_bytes() for each in sources for path in each.rglob("*.py"))
    for name in {name for group in groups(cluster) for name in variables(group)}:
        if name.startswith("RAY_"):
            known = name.removeprefix("RAY_").encode() in raylet or name.encode() in written
            assert known, f"Ray does not know {name}"


def test_every_pod_asks_for_all_that_it_may_take() -> None:
    """Only then is it Guaranteed: the last one to be ended when a node's memory is short."""
    for name, document in documents():
        for pod in pod_specs(document):
            for each in pod["containers"]:
                size = each["resources"]
                assert size["requests"] == size["limits"], (name, each["name"])
                assert {"cpu", "memory"} <= set(size["limits"]), (name, each["name"])
    for _, spec in ray_clusters():
        size = spec.get("autoscalerOptions", {}).get("resources", {})
        assert size.get("requests") == size.get("limits")


def test_no_pod_runs_as_root_or_may_become_it() -> None:
    """Nor would the strictest of the pod security standards refuse any."""
    for _, document in documents():
        for pod in pod_specs(document):
            user = pod["securityContext"]
            assert user["runAsNonRoot"]
            assert user["runAsUser"] > 0
            assert user["seccompProfile"] == {"type": "RuntimeDefault"}
            for each in pod["containers"]:
                confined = each["securityContext"]
                assert confined["allowPrivilegeEscalation"] is False
                assert confined["capabilities"] == {"drop": ["ALL"]}
    for _, spec in ray_clusters():
        if spec["enableInTreeAutoscaling"]:
            confined = spec["autoscalerOptions"]["securityContext"]
            assert confined["capabilities"] == {"drop": ["ALL"]}


def test_only_pods_that_need_the_api_hold_a_token_of_it(cluster: Object) -> None:
    for group in groups(cluster):
        pod = group["template"]["spec"]
        needs = pod.get("serviceAccountName") or (
            cluster["enableInTreeAutoscaling"] and group is cluster["headGroupSpec"]
        )
        assert pod.get("automountServiceAccountToken", True) is bool(needs)


def test_shared_memory_is_the_pods_own_and_mostly_the_servers(cluster: Object) -> None:
    for group in groups(cluster):
        assert mounts(group)["/dev/shm"] == "Memory"
        (volume,) = (v for v in group["template"]["spec"]["volumes"] if v["name"] == "shm")
        gib = int(re.fullmatch(r"(\d+)Gi", volume["emptyDir"]["sizeLimit"])[1])  # type: ignore[index]
        objects = int(group["rayStartParams"]["object-store-memory"])
        assert gib * 2**30 - objects >= 2**30
        assert gib < int(container(group)["resources"]["limits"]["memory"].removesuffix("Gi"))


def test_results_are_written_where_drivers_run_and_models_read_where_servers_do(
    cluster: Object, workers: list[Object]
) -> None:
    """A driver elsewhere would write into a container that nobody keeps."""
    writing = [group for group in groups(cluster) if "/results" in mounts(group)]
    assert writing == [driver_group(cluster)]
    assert mounts(writing[0])["/results"] == "results"
    for group in workers:
        assert mounts(group)["/models"] == "models"
        (models,) = (v for v in container(group)["volumeMounts"] if v["name"] == "models")
        assert models["readOnly"] is True


def test_what_is_on_its_way_to_an_object_store_outlives_the_drivers_pod(cluster: Object) -> None:
    spool = variables(driver_group(cluster))["XDG_STATE_HOME"]
    assert Path(spool).is_relative_to("/results")


def test_a_job_finds_a_place_for_its_driver_on_every_cluster_that_stays() -> None:
    wanted = json.loads(the("rayjob.yaml", "RayJob")["spec"]["entrypointResources"])
    for name in ("raycluster.yaml", "raycluster-pods.yaml"):
        cluster = the(name, "RayCluster")["spec"]
        given = json.loads(started(cluster, driver_group(cluster))["resources"])
        assert all(given[resource] >= share for resource, share in wanted.items())
        least = driver_group(cluster).get("minReplicas", 1)
        assert least == driver_group(cluster).get("maxReplicas", 1) == 1


def test_a_head_that_is_replaced_takes_no_driver_along() -> None:
    cluster = the("raycluster.yaml", "RayCluster")["spec"]
    assert driver_group(cluster) is not cluster["headGroupSpec"]
    assert "gcsFaultToleranceOptions" in cluster


def test_a_drained_pod_leaves_ray_before_its_time_is_up(cluster: Object) -> None:
    for group in groups(cluster):
        command = container(group)["lifecycle"]["preStop"]["exec"]["command"]
        assert command[:2] == ["ray", "stop"]
        assert int(command[-1]) < group["template"]["spec"]["terminationGracePeriodSeconds"]


def test_gpu_nodes_come_when_they_are_needed_and_are_given_back() -> None:
    for name in ("raycluster.yaml", "rayjob-ephemeral.yaml"):
        (spec,) = (each for file, each in ray_clusters() if file == name)
        assert spec["enableInTreeAutoscaling"]
        assert spec["autoscalerOptions"]["version"] == "v2"
        assert 60 <= spec["autoscalerOptions"]["idleTimeoutSeconds"] <= 900
        (group,) = measuring_groups(spec)
        assert started(spec, group)["num_gpus"] > 0
        assert group["minReplicas"] == 0 < group["maxReplicas"]


def test_kubernetes_moves_no_pod_that_measures() -> None:
    for name in ("raycluster.yaml", "rayjob-ephemeral.yaml"):
        (spec,) = (each for file, each in ray_clusters() if file == name)
        for group in groups(spec):
            assert group["template"]["metadata"]["annotations"] == {
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                "karpenter.sh/do-not-disrupt": "true",
            }


def test_rays_own_autoscaler_reads_what_a_gpu_node_has() -> None:
    manifest = the("raycluster.yaml", "RayCluster")
    manifest["metadata"]["namespace"] = "tuning"
    derived = _derive_autoscaling_config_from_ray_cr(manifest)
    assert derived["idle_timeout_minutes"] == 5
    assert derived["available_node_types"]["headgroup"]["resources"]["CPU"] == 0
    gpu = derived["available_node_types"]["gpu"]
    assert (gpu["min_workers"], gpu["max_workers"]) == (0, 4)
    assert gpu["resources"] == {"CPU": 64, "GPU": 8, "memory": 512 * 2**30}
    measuring_groups(manifest["spec"])[0]["resources"] = {"accelerator_type:H100": "1"}
    named = _derive_autoscaling_config_from_ray_cr(manifest)["available_node_types"]["gpu"]
    assert named["resources"] == {**gpu["resources"], "accelerator_type:H100": 1}
    driver = derived["available_node_types"]["driver"]
    assert (driver["min_workers"], driver["max_workers"]) == (1, 1)
    assert (driver["resources"]["CPU"], driver["resources"]["driver"]) == (0, 8)


def test_ray_start_takes_what_the_operator_makes_of_every_group(cluster: Object) -> None:
    for group in groups(cluster):
        read = started(cluster, group)
        assert read["block"]
        assert read["object_store_memory"] == 2**31


def test_the_quota_of_servers_in_pods_is_that_of_one_pod() -> None:
    cluster = the("raycluster-pods.yaml", "RayCluster")["spec"]
    (group,) = cluster["workerGroupSpecs"]
    assert group["replicas"] == group["minReplicas"] == group["maxReplicas"] == 1
    read = started(cluster, group)
    assert json.loads(read["resources"]) == {"kubernetes_gpus": 16}
    assert (read["num_cpus"], read["num_gpus"]) == (16, None)
    rights = yaml.safe_load_all((FOLDER.parent / "ome" / "rbac.yaml").read_text())
    accounts = {each["metadata"]["name"] for each in rights if each["kind"] == "ServiceAccount"}
    assert group["template"]["spec"]["serviceAccountName"] in accounts


def test_gpu_nodes_of_a_jobs_own_cluster_are_those_of_the_lasting_one() -> None:
    own = the("rayjob-ephemeral.yaml", "RayJob")["spec"]["rayClusterSpec"]
    lasting = the("raycluster.yaml", "RayCluster")["spec"]
    assert measuring_groups(own) == measuring_groups(lasting)
    for name in ("rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions"):
        assert own[name] == lasting[name]


def test_ray_reaches_the_redis_that_the_manifest_starts() -> None:
    options = the("raycluster.yaml", "RayCluster")["spec"]["gcsFaultToleranceOptions"]
    service = the("redis.yaml", "Service")
    host, _, port = options["redisAddress"].partition(":")
    assert (service["metadata"]["name"], service["spec"]["ports"][0]["port"]) == (host, int(port))
    pod = the("redis.yaml", "Deployment")["spec"]["template"]
    assert service["spec"]["selector"] == pod["metadata"]["labels"]
    password = options["redisPassword"]["valueFrom"]["secretKeyRef"]
    (secret,) = (v["secret"] for v in pod["spec"]["volumes"] if "secret" in v)
    assert secret["secretName"] == password["name"]
    assert f"/secret/{password['key']}" in pod["spec"]["containers"][0]["args"][0]


def test_all_that_is_mounted_is_made_by_a_manifest() -> None:
    made = {(each["kind"], each["metadata"].get("name")) for _, each in documents()}
    for name, document in documents():
        for pod in pod_specs(document):
            for volume in pod.get("volumes", ()):
                if claim := volume.get("persistentVolumeClaim"):
                    assert ("PersistentVolumeClaim", claim["claimName"]) in made, name
                if config := volume.get("configMap"):
                    assert ("ConfigMap", config["name"]) in made, name


def test_no_manifest_holds_a_secret() -> None:
    assert not [name for name, each in documents() if each["kind"] == "Secret"]
    for _, document in documents():
        for pod in pod_specs(document):
            for each in pod["containers"]:
                told = {v["name"] for v in each.get("env", ()) if v.get("value")}
                assert not [name for name in told if re.search("TOKEN|PASSWORD|KEY", name)]
