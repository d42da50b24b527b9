"""What is made of a request: objects that clusters take, complete, and without a secret in them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from kubernetes_double.double import kubernetes
from kubernetes_double.schemas import full_crds_folder

from autotuner.errors import LaunchError
from autotuner.kubernetes_api.connection import Access, connected
from autotuner.launchers.base import LaunchRequest
from autotuner.launchers.kubernetes.manifests import pod_manifests
from autotuner.launchers.kubernetes.ome_manifests import fitted, model_formats, ome_manifests
from autotuner.spec.launching import DockerSettings, OmeSettings, PodSettings
from autotuner.spec.server import Footprint, Model, ServerConfig
from autotuner.supervision.lease import Lease

SECRET = "sk-very-secret"  # noqa: S105
LONG = PodSettings(
    image="registry.example/vllm:v1",
    requests={"cpu": "8", "memory": "64Gi"},
    shm_gib=0.5,
    secret="hub-token",  # noqa: S106
    service_account="tuning",
    runtime_class="nvidia",
    image_pull_secrets=("registry",),
    node_selector={"disk": "fast"},
    tolerations=({"key": "nvidia.com/gpu", "operator": "Exists"},),
    affinity={"nodeAffinity": {}},
    labels={"team": "inference"},
    annotations={"note": "text"},
)


def request(launch, *, path="/models/m", flags=None, gpus=2, attempt="0123456789-a1", **variables):
    server = ServerConfig("vllm", Model(path, path), flags or {}, launch=launch)
    lease = Lease(attempt, "study", "f" * 32, "boot", "pid", Path("/nowhere"))

    def command(server, host, port):
        words = ["vllm", "serve", server.model.path, "--host", host, "--port", str(port)]
        for name, value in server.flags.items():
            words += [f"--{name}", str(value)]
        return words

    return LaunchRequest(
        attempt_id=attempt,
        study_id="study",
        served_name="mine",
        server=server,
        footprint=Footprint(gpus),
        gpu_ids=(),
        command=command,
        environment={"NODES_OWN": "1"},
        variables=variables,
        lease=lease,
        stop_s=7.5,
    )


def of_kind(objects, kind):
    return [each for each in objects if each["kind"] == kind]


def the_pod(launch=None, **options):
    (pod,) = of_kind(pod_manifests(request(launch or LONG, **options)), "Pod")
    (container,) = pod["spec"]["containers"]
    return pod, container


def test_the_command_is_complete_and_answers_where_the_pod_can_be_reached():
    _, container = the_pod(flags={"max-num-seqs": 8})
    assert [*container["command"], *container["args"]] == [
        *("vllm", "serve", "/models/m", "--host", "0.0.0.0", "--port", "8000"),
        *("--max-num-seqs", "8"),
    ]


def test_gpus_are_requested_and_limited_with_everything_else_that_is_asked_for():
    _, container = the_pod()
    wanted = {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "2"}
    assert container["resources"] == {"requests": wanted, "limits": wanted}
    _, container = the_pod(PodSettings(image="i"), gpus=0)
    assert "resources" not in container


def test_a_pod_that_ends_is_not_started_anew_and_gets_nothing_of_the_clusters():
    pod, container = the_pod()
    spec = pod["spec"]
    assert spec["restartPolicy"] == "Never"
    assert spec["enableServiceLinks"] is False
    assert spec["automountServiceAccountToken"] is False
    assert spec["terminationGracePeriodSeconds"] == 8
    assert container["envFrom"] == [{"secretRef": {"name": "hub-token"}}]
    assert "livenessProbe" not in container


def test_names_are_legal_and_differ_between_attempts():
    names = set()
    for attempt in ("0123456789-a1", "0123456789-a12", "X_" * 80):
        for each in pod_manifests(request(LONG, attempt=attempt, HF_TOKEN=SECRET)):
            name = each["metadata"]["name"]
            names.add((each["kind"], name))
            assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
            assert len(name) <= 58
            for value in each["metadata"]["labels"].values():
                assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", value)
    assert len(names) == 9


def test_the_studys_labels_are_added_and_ours_stay():
    pod, _ = the_pod(replace(LONG, labels={"team": "a", "autotuner/lease": "stolen"}))
    assert pod["metadata"]["labels"]["team"] == "a"
    assert pod["metadata"]["labels"]["autotuner/lease"] == "f" * 32
    assert pod["metadata"]["annotations"] == {"note": "text"}


@pytest.mark.parametrize("make", [pod_manifests, ome_manifests])
def test_secrets_are_in_the_secret_alone(make):
    launch = LONG if make is pod_manifests else OmeSettings("m", pod=LONG)
    asked = request(
        launch,
        flags={"api-key": "another-secret", "note": f"a {SECRET} within"},
        HF_TOKEN=SECRET,
        ALSO=f"Bearer {SECRET}",
    )
    hidden, *others = make(asked)
    assert hidden["stringData"] == {
        "HF_TOKEN": SECRET,
        "AUTOTUNER_FLAG_API_KEY": "another-secret",
    }
    text = json.dumps(others)
    assert SECRET not in text
    assert "another-secret" not in text
    assert '"$(AUTOTUNER_FLAG_API_KEY)"' in text
    assert '"a $(HF_TOKEN) within"' in text
    assert '"Bearer $(HF_TOKEN)"' in text


def test_where_there_is_nothing_to_hide_there_is_no_secret():
    assert [each["kind"] for each in pod_manifests(request(LONG, A="b"))] == ["Pod", "Service"]


def test_dollar_signs_are_the_studys_and_not_kubernetes_own():
    _, container = the_pod(flags={"template": "$(HOME) $x"}, GREETING="$(hi)")
    assert container["args"][-1] == "$$(HOME) $$x"
    assert {"name": "GREETING", "value": "$$(hi)"} in container["env"]


def test_gpus_are_not_chosen_again_within_the_pod():
    _, container = the_pod(CUDA_VISIBLE_DEVICES="3", A="b")
    assert container["env"] == [{"name": "A", "value": "b"}]


@pytest.mark.parametrize(
    ("changes", "path", "source", "target"),
    [
        ({"model_claim": "c"}, "/models/m", {"persistentVolumeClaim"}, "/models/m"),
        ({"model_claim": "c", "model_mount": "/hub"}, "org/m", {"persistentVolumeClaim"}, "/hub"),
        ({"model_on_nodes": True}, "/models/m", {"hostPath"}, "/models/m"),
        (
            {"model_on_nodes": True},
            "/hub/models--org--m/snapshots/abc",
            {"hostPath"},
            "/hub/models--org--m",
        ),
    ],
)
def test_the_model_is_mounted_read_only(changes, path, source, target):
    pod, container = the_pod(replace(LONG, **changes), path=path)
    shm, model = pod["spec"]["volumes"]
    assert shm["emptyDir"] == {"medium": "Memory", "sizeLimit": "512Mi"}
    assert set(model) == {"name", *source}
    mount = container["volumeMounts"][1]
    assert (mount["mountPath"], mount["readOnly"]) == (target, True)


@pytest.mark.parametrize("changes", [{"model_claim": "c"}, {"model_on_nodes": True}])
def test_a_model_of_a_hub_cannot_be_mounted_at_its_own_path(changes):
    with pytest.raises(LaunchError, match="is no folder"):
        the_pod(replace(LONG, **changes), path="org/model")


def test_settings_of_another_launcher_are_refused():
    with pytest.raises(LaunchError, match="another launcher"):
        pod_manifests(request(DockerSettings(image="i")))
    with pytest.raises(LaunchError, match="another launcher"):
        ome_manifests(request(LONG))
    with pytest.raises(LaunchError, match=r"engine\.image"):
        pod_manifests(request(PodSettings()))
    with pytest.raises(LaunchError, match=r"engine\.image"):
        ome_manifests(request(OmeSettings("m")))


def test_ome_gets_the_whole_command_in_a_runtime_of_its_own():
    runtime, service = ome_manifests(request(OmeSettings("m", pod=LONG), flags={"x": 1}))
    runner = runtime["spec"]["engineConfig"]["runner"]
    assert runner["name"] == "ome-container"
    assert [*runner["command"], *runner["args"]] == [
        *("vllm", "serve", "$(MODEL_PATH)", "--host", "0.0.0.0", "--port", "8000", "--x", "1")
    ]
    spec = service["spec"]
    assert spec["runtime"] == {"name": runtime["metadata"]["name"], "kind": "ServingRuntime"}
    assert spec["model"] == {"name": "m", "kind": "ClusterBaseModel"}
    assert (spec["engine"]["minReplicas"], spec["engine"]["maxReplicas"]) == (1, 1)
    assert spec["engine"]["runner"]["name"] == "ome-container"
    wanted = {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "2"}
    assert spec["engine"]["runner"]["resources"] == {"requests": wanted, "limits": wanted}
    annotations = service["metadata"]["annotations"]
    assert annotations["ome.io/deploymentMode"] == "RawDeployment"


def test_a_runtime_that_is_named_keeps_its_command_and_gets_all_our_flags():
    settings = OmeSettings("m", runtime="stock", pod=replace(LONG, image=None))
    (service,) = ome_manifests(request(settings, flags={"x": 1}))
    assert service["spec"]["runtime"] == {"name": "stock", "kind": "ClusterServingRuntime"}
    runner = service["spec"]["engine"]["runner"]
    assert runner["args"] == ["--host", "0.0.0.0", "--port", "8000", "--x", "1"]
    assert "command" not in runner
    assert "image" not in runner


def test_omes_own_templates_find_nothing_to_fill_in():
    runtime, _ = ome_manifests(request(OmeSettings("m", pod=LONG), flags={"t": "{{ bos }}"}))
    assert runtime["spec"]["engineConfig"]["runner"]["args"][-1] == "{{`{{`}} bos }}"


def test_a_runtime_is_fitted_to_the_base_model():
    base = {
        "modelFormat": {"name": "safetensors", "version": "1", "weight": 3},
        "modelFramework": {"name": "transformers", "version": "4"},
        "modelArchitecture": "LlamaForCausalLM",
        "quantization": "fp8",
    }
    assert model_formats(base) == [
        {
            "name": "safetensors",
            "modelFormat": {"name": "safetensors", "version": "1"},
            "modelFramework": {"name": "transformers", "version": "4"},
            "modelArchitecture": "LlamaForCausalLM",
            "quantization": "fp8",
            "autoSelect": False,
        }
    ]
    objects = ome_manifests(request(OmeSettings("m", pod=LONG), A="b"))
    runtime, _ = fitted(objects, {**base, "storage": {"path": "/mnt/m"}}, "/models/m")
    assert runtime["spec"]["supportedModelFormats"] == model_formats(base)
    assert len(runtime["spec"]["engineConfig"]["runner"]["env"]) == 1
    runtime, _ = fitted(objects, base, "/models/m")
    env = runtime["spec"]["engineConfig"]["runner"]["env"]
    assert env[0] == {"name": "MODEL_PATH", "value": "/models/m"}
    assert len(objects[0]["spec"]["engineConfig"]["runner"]["env"]) == 1


@pytest.mark.parametrize("claim", [None, "models"])
def test_clusters_take_every_object(tmp_path, claim):
    settings = replace(LONG, model_claim=claim)
    named = OmeSettings("m", runtime="stock", pod=settings)
    objects = [
        *pod_manifests(request(settings, HF_TOKEN=SECRET)),
        *ome_manifests(request(OmeSettings("m", pod=settings), HF_TOKEN=SECRET)),
        *ome_manifests(request(named, HF_TOKEN=SECRET)),
    ]
    with kubernetes(upstream=full_crds_folder()) as double:
        access = Access(str(double.kubeconfig(tmp_path / "kubeconfig")))
        with connected(access) as cluster:
            for each in objects:
                cluster.apply(each, dry=True)
