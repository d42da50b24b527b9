"""The launchers' sections of a study file: what they become, and every mistake in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autotuner.spec.launching import DockerSettings, Mount, OmeSettings, PodSettings

if TYPE_CHECKING:
    from .conftest import StudyWriter

VLLM = "engine: {name: vllm, version: 0.11.0}"
IMAGE = "vllm/vllm-openai:v0.11.0"
ALL_OF_DOCKER = """\
docker:
  image: registry.example:5000/vllm:mine
  pull: always
  daemon: unix:///run/other.sock
  network: bridge
  ipc: private
  shm_gib: 8
  memory_gib: 64.5
  runtime: nvidia
  user: 1000
  hub_cache: ../hub
  mounts: [/usr, ../venvs/x, /a:/b, "/c:/d/:rw", ./e:ro]
  ulimits: {memlock: -1, nofile: 65536}
"""
ALL_OF_A_POD = """\
  image: registry.example:5000/vllm:mine
  namespace: tuning
  kubeconfig: ../kubeconfig
  context: west
  quota: west_gpus
  unschedulable_s: 60
  gpu_resource: amd.com/gpu
  requests: {cpu: 8, memory: 64Gi, rdma/hca: "1"}
  shm_gib: 8
  model_claim: models
  model_mount: /models
  secret: hub-token
  service_account: tuner
  runtime_class: nvidia
  image_pull_secrets: registry
  node_selector: {disk: yes, example.com/generation: 3}
  tolerations:
    - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
    - {key: pool, value: "7", tolerationSeconds: 60}
  affinity: {nodeAffinity: {requiredDuringScheduling: [{a: 1}]}}
  labels: {team: inference}
  annotations: {note: "any text: at all"}
"""


def pod_of(study: StudyWriter, namespace: str = "tuning") -> PodSettings:
    return PodSettings(
        image="registry.example:5000/vllm:mine",
        namespace=namespace,
        kubeconfig=str(study.folder.parent / "kubeconfig"),
        context="west",
        quota="west_gpus",
        unschedulable_s=60,
        gpu_resource="amd.com/gpu",
        requests={"cpu": "8", "memory": "64Gi", "rdma/hca": "1"},
        shm_gib=8,
        model_claim="models",
        model_mount="/models",
        secret="hub-token",  # noqa: S106 - the name of one
        service_account="tuner",
        runtime_class="nvidia",
        image_pull_secrets=("registry",),
        node_selector={"disk": "yes", "example.com/generation": "3"},
        tolerations=(
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "pool", "value": "7", "tolerationSeconds": 60},
        ),
        affinity={"nodeAffinity": {"requiredDuringScheduling": [{"a": 1}]}},
        labels={"team": "inference"},
        annotations={"note": "any text: at all"},
    )


def test_a_process_needs_no_settings(study: StudyWriter) -> None:
    spec = study.load(launcher="launcher: process", docker=ALL_OF_DOCKER)
    assert (spec.launcher, spec.launch) == ("process", None)


def test_every_key_of_docker_reaches_the_study(study: StudyWriter) -> None:
    spec = study.load(launcher="launcher: docker", docker=ALL_OF_DOCKER)
    folder, parent = str(study.folder), str(study.folder.parent)
    assert spec.launch == DockerSettings(
        image="registry.example:5000/vllm:mine",
        pull="always",
        daemon="unix:///run/other.sock",
        network="bridge",
        ipc="private",
        shm_gib=8,
        memory_gib=64.5,
        runtime="nvidia",
        user="1000",
        hub_cache=f"{parent}/hub",
        mounts=(
            Mount("/usr", "/usr"),
            Mount(f"{parent}/venvs/x", f"{parent}/venvs/x"),
            Mount("/a", "/b"),
            Mount("/c", "/d", read_only=False),
            Mount(f"{folder}/e", f"{folder}/e"),
        ),
        ulimits={"memlock": -1, "nofile": 65536},
    )


def test_every_key_of_kubernetes_reaches_the_study(study: StudyWriter) -> None:
    spec = study.load(launcher="launcher: kubernetes", x=f"kubernetes:\n{ALL_OF_A_POD}")
    assert spec.launch == pod_of(study)


def test_every_key_of_ome_reaches_the_study(study: StudyWriter) -> None:
    own = "  base_model: llama\n  base_model_kind: BaseModel\n  runtime: rt\n"
    ome = f"ome:\n{own}  runtime_kind: ServingRuntime\n{ALL_OF_A_POD}"
    spec = study.load(launcher="launcher: ome", ome=ome)
    assert spec.launch == OmeSettings(
        "llama",
        base_model_kind="BaseModel",
        runtime="rt",
        runtime_kind="ServingRuntime",
        pod=pod_of(study),
    )


@pytest.mark.parametrize(
    ("launcher", "settings"),
    [("docker", DockerSettings(image=IMAGE)), ("kubernetes", PodSettings(image=IMAGE))],
)
@pytest.mark.parametrize("section", ["", "{}", "{image: null, shm_gib: null, mounts: null}"])
def test_a_section_may_be_left_out_and_so_may_any_value(
    study: StudyWriter, launcher: str, settings: object, section: str
) -> None:
    if launcher == "kubernetes":
        section = section.replace("mounts", "labels")
    text = f"{launcher}: {section}" if section else ""
    assert study.load(engine=VLLM, launcher=f"launcher: {launcher}", x=text).launch == settings


def test_all_sections_may_stand_in_one_file(study: StudyWriter) -> None:
    sections = {
        "engine": VLLM,
        "a": "docker: {network: bridge}",
        "b": "kubernetes: {namespace: one}",
        "c": "ome: {base_model: llama, namespace: two}",
    }
    assert study.load(**sections).launch is None
    assert study.load(**sections, d="launcher: docker").launch == DockerSettings(
        image=IMAGE, network="bridge"
    )
    pod = study.load(**sections, d="launcher: kubernetes").launch
    assert pod == PodSettings(image=IMAGE, namespace="one")
    ome = study.load(**sections, d="launcher: ome").launch
    assert ome == OmeSettings("llama", pod=PodSettings(image=IMAGE, namespace="two"))


def test_a_section_may_be_an_alias_of_another(study: StudyWriter) -> None:
    ome = "kubernetes: &pod {namespace: tuning}\nome: {<<: *pod, base_model: llama}"
    spec = study.load(engine=VLLM, launcher="launcher: ome", ome=ome)
    assert spec.launch == OmeSettings("llama", pod=PodSettings(image=IMAGE, namespace="tuning"))


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("docker: 3", "docker", "3", "mapping"),
        ("docker: {image: a b}", "docker.image", "a b", "no image's name"),
        ("docker: {image: ''}", "docker.image", "''", "empty"),
        ("docker: {pull: allways}", "docker.pull", "allways", "did you mean `always`"),
        ("docker: {daemon: /run/d.sock}", "docker.daemon", "/run/d.sock", "unix:///run/d.sock"),
        ("docker: {daemon: localhost}", "docker.daemon", "localhost", "tcp://host:port"),
        ("docker: {network: none}", "docker.network", "none", "allowed: host, bridge"),
        ("docker: {ipc: shareable}", "docker.ipc", "shareable", "allowed: private, host"),
        ("docker: {shm_gib: 0}", "docker.shm_gib", "0", "above 0"),
        ("docker: {shm_gib: 16g}", "docker.shm_gib", "16g", "write a number"),
        ("docker: {shm_gib: true}", "docker.shm_gib", "true", "true and false"),
        ("docker: {ipc: host, shm_gib: 8}", "docker.shm_gib", "8", "/dev/shm; remove"),
        ("docker: {memory_gib: -1}", "docker.memory_gib", "-1", "above 0"),
        ("docker: {user: true}", "docker.user", "true", "in quotes"),
        ("docker: {hub_cache: ~nobody-here/x}", "docker.hub_cache", "~nobody-here/x", "in full"),
        ("docker: {mounts: {a: b}}", "docker.mounts", "{a: b}", "a list"),
        ("docker: {mounts: [3]}", "docker.mounts[0]", "3", "in quotes"),
        ("docker: {mounts: ['/a:b']}", "docker.mounts[0]", "'/a:b'", "must be absolute"),
        ("docker: {mounts: ['/a:/b:z']}", "docker.mounts[0]", "'/a:/b:z'", "`/data:/in"),
        ("docker: {mounts: ['/a:/b:/c']}", "docker.mounts[0]", "'/a:/b:/c'", "`/data:/in"),
        ("docker: {mounts: [':/b']}", "docker.mounts[0]", "':/b'", "`/data:/in"),
        ("docker: {mounts: ['/a:']}", "docker.mounts[0]", "'/a:'", "`/data:/in"),
        ("docker: {mounts: [/]}", "docker.mounts[0]", "/", "a root of its own"),
        ("docker: {mounts: [/b, '/a:/b/']}", "docker.mounts[1]", "'/a:/b/'", "target /b already"),
        ("docker: {ulimits: {memlok: 1}}", "docker.ulimits.memlok", "", "`memlock`"),
        ("docker: {ulimits: {core: -2}}", "docker.ulimits.core", "-2", "at least -1"),
        ("docker: {ulimits: {core: x}}", "docker.ulimits.core", "x", "whole number"),
        ("kubernetes: x", "kubernetes", "x", "mapping"),
        ("kubernetes: {namespace: a.b}", "kubernetes.namespace", "a.b", "no namespace's name"),
        ("kubernetes: {namespace: 7}", "kubernetes.namespace", "7", "in quotes"),
        ("kubernetes: {quota: GPU}", "kubernetes.quota", "GPU", "Ray's own"),
        ("kubernetes: {unschedulable_s: 0}", "kubernetes.unschedulable_s", "0", "above 0"),
        ("kubernetes: {gpu_resource: gpu}", "kubernetes.gpu_resource", "gpu", "nvidia.com/gpu"),
        ("kubernetes: {requests: [a]}", "kubernetes.requests", "[a]", "mapping"),
        ("kubernetes: {requests: {cpu: x}}", "kubernetes.requests.cpu", "x", "500m"),
        ("kubernetes: {requests: {cpu: null}}", "kubernetes.requests.cpu", "null", "text"),
        ("kubernetes: {requests: {memory: 64}}", "kubernetes.requests.memory", "64", "64Gi"),
        ("kubernetes: {requests: {memory: 8GB}}", "kubernetes.requests.memory", "8GB", "8Gi"),
        ("kubernetes: {requests: {a b: 1}}", "kubernetes.requests.a b", "", "no resource's name"),
        (
            "kubernetes: {requests: {nvidia.com/gpu: 1}}",
            "kubernetes.requests.nvidia.com/gpu",
            "1",
            "resources.gpus",
        ),
        (
            "kubernetes: {gpu_resource: x.y/npu, requests: {x.y/npu: 1}}",
            "kubernetes.requests.x.y/npu",
            "1",
            "resources.gpus",
        ),
        ("kubernetes: {shm_gib: 1Gi}", "kubernetes.shm_gib", "1Gi", "number"),
        ("kubernetes: {model_claim: A}", "kubernetes.model_claim", "A", "no name in Kubernetes"),
        ("kubernetes: {model_mount: m}", "kubernetes.model_mount", "m", "absolute"),
        ("kubernetes: {model_mount: /m}", "kubernetes.model_mount", "/m", "`model_claim`"),
        (
            "kubernetes: {model_claim: a, model_on_nodes: true}",
            "kubernetes.model_on_nodes",
            "true",
            "keep one",
        ),
        ("kubernetes: {model_on_nodes: 'on'}", "kubernetes.model_on_nodes", "'on'", "true or"),
        ("kubernetes: {node_selector: {a: b c}}", "kubernetes.node_selector.a", "b c", "value"),
        ("kubernetes: {node_selector: {a b: c}}", "kubernetes.node_selector.a b", "", "key"),
        ("kubernetes: {node_selector: {a: [b]}}", "kubernetes.node_selector.a", "[b]", "text"),
        ("kubernetes: {labels: {autotuner/x: a}}", "kubernetes.labels.autotuner/x", "", "own"),
        (
            "kubernetes: {annotations: {autotuner/x: a}}",
            "kubernetes.annotations.autotuner/x",
            "",
            "own",
        ),
        ("kubernetes: {tolerations: {a: b}}", "kubernetes.tolerations", "{a: b}", "a list"),
        ("kubernetes: {tolerations: [a]}", "kubernetes.tolerations[0]", "a", "mapping"),
        (
            "kubernetes: {tolerations: [{efect: NoSchedule}]}",
            "kubernetes.tolerations[0].efect",
            "NoSchedule",
            "`effect`",
        ),
        (
            "kubernetes: {tolerations: [{effect: no}]}",
            "kubernetes.tolerations[0].effect",
            "no",
            "in quotes",
        ),
        (
            "kubernetes: {tolerations: [{operator: Is}]}",
            "kubernetes.tolerations[0].operator",
            "Is",
            "Exists, Equal",
        ),
        ("kubernetes: {affinity: {node: {}}}", "kubernetes.affinity.node", "", "nodeAffinity"),
        ("kubernetes: {image_pull_secrets: [A]}", "kubernetes.image_pull_secrets[0]", "A", "name"),
        ("ome: {namespace: a}", "ome.base_model", "", "missing"),
        ("ome: {base_model: org/llama}", "ome.base_model", "org/llama", "no name in Kubernetes"),
        (
            "ome: {base_model: a, base_model_kind: Model}",
            "ome.base_model_kind",
            "Model",
            "BaseModel",
        ),
        (
            "ome: {base_model: a, runtime: b, runtime_kind: Runtime}",
            "ome.runtime_kind",
            "Runtime",
            "ServingRuntime",
        ),
        (
            "ome: {base_model: a, runtime_kind: ServingRuntime}",
            "ome.runtime_kind",
            "ServingRuntime",
            "`runtime`",
        ),
        ("ome: {base_model: a, requests: {cpu: x}}", "ome.requests.cpu", "x", "500m"),
    ],
)
def test_a_mistake_in_a_section_is_explained_whatever_launcher_is_chosen(
    study: StudyWriter, section: str, key: str, value: str, words: str
) -> None:
    problem = study.problem(x=section)
    assert (problem.key, problem.value, problem.line) == (key, value, 6)
    assert words in problem.fix


@pytest.mark.parametrize(
    ("section", "wrong", "meant"),
    [
        ("docker", "env", "`engine.environment`"),
        ("docker", "volumes", "`mounts`"),
        ("docker", "mount", "`mounts`"),
        ("docker", "shm_size", "`shm_gib`"),
        ("docker", "memory", "`memory_gib`"),
        ("docker", "gpus", "`resources: {gpus: 1}`"),
        ("docker", "ports", "remove it"),
        ("docker", "name", "remove it"),
        ("docker", "host", "`daemon`"),
        ("docker", "network_mode", "`network`"),
        ("docker", "tag", "`engine: {version: 0.11.0}`"),
        ("docker", "cpuset", "`resources: {cpus: {server: ...}}`"),
        ("docker", "dockr_user", "allowed: image, pull"),
        ("kubernetes", "env", "`engine.environment`"),
        ("kubernetes", "nodeSelector", "`node_selector`"),
        ("kubernetes", "pvc", "`model_claim`"),
        ("kubernetes", "volumes", "`model_claim`"),
        ("kubernetes", "resources", "`requests`"),
        ("kubernetes", "memory", "`requests: {cpu: 8, memory: 64Gi}`"),
        ("kubernetes", "gpus", "`resources: {gpus: 1}`"),
        ("kubernetes", "imagePullSecrets", "`image_pull_secrets`"),
        ("kubernetes", "serviceAccountName", "`service_account`"),
        ("kubernetes", "runtimeClassName", "`runtime_class`"),
        ("kubernetes", "replicas", "one server"),
        ("kubernetes", "namspace", "`namespace`"),
        ("ome", "model", "`base_model`"),
        ("ome", "servingRuntime", "`runtime`"),
        ("ome", "shm_size", "`shm_gib`"),
    ],
)
def test_a_likely_wrong_key_is_told_its_right_one(
    study: StudyWriter, section: str, wrong: str, meant: str
) -> None:
    base = "base_model: a, " if section == "ome" else ""
    problem = study.problem(x=f"{section}: {{{base}{wrong}: 1}}")
    assert problem.key == f"{section}.{wrong}"
    assert meant in problem.fix


def test_a_token_where_a_secrets_name_is_wanted_is_not_shown(study: StudyWriter) -> None:
    problem = study.problem(x="kubernetes: {secret: hf_NotToBeSeen}")
    assert problem.key == "kubernetes.secret"
    assert "NotToBeSeen" not in str(problem)
    problem = study.problem(x="kubernetes: {hf_token: hf_NotToBeSeen}")
    assert "name an existing Secret with `secret`" in problem.fix
    assert "NotToBeSeen" not in str(problem)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("image", "`engine: {name: ..., version: 0.11.0}`"),
        ("k8s", "`kubernetes: {namespace: ...}`"),
        ("container", "`docker`"),
    ],
)
def test_a_likely_wrong_key_of_the_top_level_is_told_its_right_one(
    study: StudyWriter, wrong: str, meant: str
) -> None:
    assert meant in study.problem(x=f"{wrong}: x").fix


def test_paths_are_those_of_the_study_file_and_not_of_the_current_folder(
    study: StudyWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", "/home/somebody")
    spec = study.load(
        engine=VLLM, launcher="launcher: kubernetes", x="kubernetes: {kubeconfig: ~/.kube/config}"
    )
    assert isinstance(spec.launch, PodSettings)
    assert spec.launch.kubeconfig == "/home/somebody/.kube/config"
