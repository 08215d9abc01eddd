"""What the chart renders and what it refuses. Needs helm; kubeconform checks the objects where it is there with its schemas."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "charts" / "mistral-api"

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on the PATH")


def helm(*settings: str, small: bool = True) -> subprocess.CompletedProcess[str]:
    values = ["--values", str(CHART / "values-small.yaml")] if small else []
    given = [word for setting in settings for word in ("--set", setting)]
    command = ["helm", "template", "llm", str(CHART), "--kube-version", "1.36.0", *values, *given]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rendered(*settings: str, small: bool = True) -> dict[str, Any]:
    """Objects by kind."""
    done = helm(*settings, small=small)
    assert done.returncode == 0, done.stderr
    return {entry["kind"]: entry for entry in yaml.safe_load_all(done.stdout) if entry}


def pod_of(objects: dict[str, Any]) -> Any:
    return objects["Deployment"]["spec"]["template"]["spec"]


def test_a_plain_install_is_what_an_install_needs_and_no_more() -> None:
    objects = rendered(small=False)
    assert set(objects) == {"ServiceAccount", "ConfigMap", "PersistentVolumeClaim", "Service", "Deployment", "Pod"}
    assert objects["Service"]["metadata"]["name"] == "llm"
    assert objects["Service"]["spec"]["ports"][0]["port"] == 8000


def test_the_pod_is_as_restricted_demands() -> None:
    pod = pod_of(rendered())
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    for container in pod["initContainers"] + pod["containers"]:
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert not security["allowPrivilegeEscalation"]
        assert security["capabilities"] == {"drop": ["ALL"]}


def test_budgets_follow_from_values() -> None:
    objects = rendered(
        "scaling.preStopSeconds=7",
        "scaling.drainSeconds=100",
        "scaling.startupSeconds=301",
        "model.downloadSeconds=1000",
    )
    pod = pod_of(objects)
    assert pod["terminationGracePeriodSeconds"] == 117
    assert pod["containers"][0]["startupProbe"]["failureThreshold"] == 151
    assert objects["Deployment"]["spec"]["progressDeadlineSeconds"] == 301 + 1000 + 120
    assert objects["ConfigMap"]["data"]["MISTRAL_API_DRAIN_TIMEOUT"] == "100"


def test_memory_follows_from_the_model_and_the_context() -> None:
    resources = pod_of(rendered(small=False))["containers"][0]["resources"]
    model, context = 4368439584, 16384 * 131072
    assert resources["limits"]["memory"] == f"{-(-(model * 5 // 4 + context + (512 << 20)) // (1 << 20))}Mi"
    assert resources["requests"]["memory"] == resources["limits"]["memory"]


@pytest.mark.parametrize(
    ("settings", "strategy"),
    [
        ([], "Recreate"),
        (["storage.kind=emptyDir"], "RollingUpdate"),
        (["storage.kind=ephemeral"], "RollingUpdate"),
        (["storage.accessMode=ReadWriteMany"], "RollingUpdate"),
        (["storage.oneNode=true"], "RollingUpdate"),
        (["model.source=image", "model.image.reference=models/a:1"], "RollingUpdate"),
        (["storage.kind=emptyDir", "resources.limits.nvidia\\.com/gpu=1"], "Recreate"),
    ],
)
def test_the_strategy_follows_from_what_two_pods_can_share(settings: list[str], strategy: str) -> None:
    assert rendered(*settings)["Deployment"]["spec"]["strategy"]["type"] == strategy


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["scaling.replicas=2"], "2 replicas cannot share a ReadWriteOnce volume. Ways out: storage.kind=ephemeral"),
        (["scaling.autoscaling.enabled=true"], "4 replicas cannot share"),
        (["scaling.strategy=RollingUpdate"], "needs two pods at once"),
        (["scaling.autoscaling.enabled=true", "scaling.replicas=2", "storage.kind=emptyDir"], "contradict each other"),
        (["resources.limits.memory=300Mi"], "a memory limit of 300Mi is too small: model 93 MiB + 8192 tokens"),
        (["resources.requests.memory=0.1G"], "a memory limit of 0.1G is too small"),
        (["resources.limits.memory=lots"], "lots is no amount of memory"),
        (["model.sizeBytes=0", "storage.size=1Gi"], "how much memory?"),
        (["model.sizeBytes=0", "resources.limits.memory=1Gi"], "how large is the volume?"),
        (["model.source=url"], "model.url.address is missing"),
        (["model.source=nowhere"], "/model/source"),
        (["server.ctxsize=1"], "ctxsize"),
        (["modle.source=url"], "modle"),
        (["network.httpRoute.enabled=true"], "to which gateway"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(settings: list[str], words: str) -> None:
    done = helm(*settings)
    assert done.returncode != 0
    assert words in done.stderr


def test_a_tight_limit_is_taken_when_asked_for() -> None:
    pod = pod_of(rendered("resources.limits.memory=300Mi", "allowTightMemory=true"))
    assert pod["containers"][0]["resources"]["requests"]["memory"] == "300Mi"


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        (
            ["model.huggingface.repo=o/r", "model.huggingface.file=f.gguf", "model.huggingface.revision=abc"],
            "hf://o/r/f.gguf@abc",
        ),
        (["model.source=url", "model.url.address=https://host/f.gguf?x=1"], "https://host/f.gguf?x=1"),
        (["model.source=s3", "model.s3.address=s3://bucket/f.gguf"], "s3://bucket/f.gguf"),
    ],
)
def test_a_source_is_fetched_into_a_folder_of_its_own(settings: list[str], address: str) -> None:
    objects = rendered(*settings)
    arguments = pod_of(objects)["initContainers"][0]["args"]
    assert arguments[:2] == ["fetch", address]
    path = arguments[arguments.index("--to") + 1]
    assert path.endswith("/f.gguf")
    assert objects["ConfigMap"]["data"]["LLAMA_ARG_MODEL"] == path
    other = rendered(
        *settings,
        "model.huggingface.revision=def",
        "model.url.address=https://host/f.gguf?x=2",
        "model.s3.address=s3://b/f.gguf",
    )
    assert other["ConfigMap"]["data"]["LLAMA_ARG_MODEL"] != path


@pytest.mark.parametrize(
    ("settings", "volume"),
    [
        (["model.source=image", "model.image.reference=models/a:1"], {"image": {"reference": "models/a:1"}}),
        (
            ["model.source=existingClaim", "model.existingClaim.name=mine"],
            {"persistentVolumeClaim": {"claimName": "mine", "readOnly": True}},
        ),
        (["model.source=hostPath", "model.hostPath.folder=/srv"], {"hostPath": {"path": "/srv", "type": "Directory"}}),
    ],
)
def test_a_model_that_is_there_is_mounted_and_not_fetched(settings: list[str], volume: dict[str, Any]) -> None:
    objects = rendered(*settings)
    assert "initContainers" not in pod_of(objects)
    assert "PersistentVolumeClaim" not in objects
    assert pod_of(objects)["volumes"][0] == {"name": "model", **volume}
    assert objects["ConfigMap"]["data"]["LLAMA_ARG_MODEL"] == "/models/model.gguf"


def test_a_builtin_model_needs_no_volume() -> None:
    pod = pod_of(rendered("model.source=builtin"))
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp"]


def test_an_old_cluster_has_no_image_volumes() -> None:
    command = [
        "helm",
        "template",
        "llm",
        str(CHART),
        "--kube-version",
        "1.32.0",
        "--set",
        "model.source=image,model.image.reference=a",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "needs Kubernetes 1.33, this is v1.32.0" in done.stderr


def test_settings_reach_the_server_by_their_variables_and_roll_the_pods() -> None:
    settings = ["server.temp=0.5", "server.flashAttn=on", "server.parallel=4", "server.mlock=true"]
    before, after = rendered(), rendered(*settings)
    data = after["ConfigMap"]["data"]
    assert (data["LLAMA_ARG_N_PARALLEL"], data["LLAMA_ARG_MLOCK"], data["LLAMA_ARG_TEMPERATURE"]) == ("4", "on", "0.5")
    sums = [
        entry["Deployment"]["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
        for entry in (before, after)
    ]
    assert sums[0] != sums[1]


def test_no_variable_stands_twice_and_the_users_wins() -> None:
    pod = pod_of(rendered("extraEnv[0].name=MISTRAL_API_CPU_LIMIT", "extraEnv[0].value=1k"))
    assert pod["containers"][0]["env"] == [{"name": "MISTRAL_API_CPU_LIMIT", "value": "1k"}]


def test_an_autoscaler_leaves_the_number_of_pods_to_itself() -> None:
    objects = rendered("scaling.autoscaling.enabled=true", "storage.kind=emptyDir", "scaling.autoscaling.minReplicas=2")
    assert "replicas" not in objects["Deployment"]["spec"]
    assert objects["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_keys_come_from_a_secret_and_stand_in_no_argument() -> None:
    objects = rendered("security.apiKeySecret.name=keys", "model.huggingface.tokenSecret.name=hub")
    assert objects["ConfigMap"]["data"]["LLAMA_ARG_API_KEY_FILE"] == "/etc/mistral-api/keys/api-keys"
    (token,) = pod_of(objects)["initContainers"][0]["env"]
    assert token["valueFrom"]["secretKeyRef"] == {"name": "hub", "key": "token"}


def test_optional_objects_are_rendered() -> None:
    settings = [
        "network.ingress.enabled=true", "network.ingress.hosts={a.example,b.example}", "network.networkPolicy.enabled=true",
        "network.httpRoute.enabled=true", "network.httpRoute.parentRefs[0].name=gateway", "monitoring.serviceMonitor.enabled=true",
        "monitoring.podMonitor.enabled=true", "monitoring.ruleGroups[0].name=a", "monitoring.dashboards.a\\.json=[]",
        "extraObjects[0].kind=Secret", "extraObjects[0].apiVersion=v1", "extraObjects[0].metadata.name=\\{\\{ .Release.Name \\}\\}-x",
    ]  # fmt: skip
    objects = rendered(*settings)
    assert {"Ingress", "NetworkPolicy", "HTTPRoute", "ServiceMonitor", "PodMonitor", "PrometheusRule", "Secret"} <= set(
        objects
    )
    assert objects["HTTPRoute"]["spec"]["rules"][0]["timeouts"] == {"request": "0s"}
    assert [rule["host"] for rule in objects["Ingress"]["spec"]["rules"]] == ["a.example", "b.example"]
    assert objects["Secret"]["metadata"]["name"] == "llm-x"


def test_k8s_is_what_the_chart_renders() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "render_k8s.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
