"""What the chart renders and what it refuses. Needs helm."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from tests.chart.rendering import attempt, helm, pod_of, rendered, variables_of

pytestmark = pytest.mark.skipif(
    shutil.which("helm") is None, reason="helm is not on the PATH, and `make helm` left none"
)


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


def test_a_cluster_may_choose_the_user() -> None:
    ours = rendered("security.user=20000")
    assert {pod_of(ours)["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {20000}
    objects = rendered("security.user=null")
    for security in (pod_of(objects)["securityContext"], objects["Pod"]["spec"]["securityContext"]):
        assert security["runAsNonRoot"]
        assert {"runAsUser", "runAsGroup", "fsGroup"}.isdisjoint(security)


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
    assert objects["Deployment"]["spec"]["progressDeadlineSeconds"] == 117 + 301 + 1000 + 120
    assert objects["ConfigMap"]["data"]["MISTRAL_API_DRAIN_TIMEOUT"] == "100"


def test_memory_follows_from_the_model_and_the_context() -> None:
    resources = pod_of(rendered(small=False))["containers"][0]["resources"]
    model, context = 4368439584, 16384 * 131072
    assert resources["limits"]["memory"] == f"{-(-(model * 5 // 4 + context + (512 << 20)) // (1 << 20))}Mi"
    assert resources["requests"]["memory"] == resources["limits"]["memory"]


@pytest.mark.parametrize(("settings", "guaranteed"), [((), True), (("resources.limits.cpu=5",), False)])
def test_a_pod_whose_limits_are_its_requests_is_guaranteed(settings: tuple[str, ...], guaranteed: bool) -> None:
    pod = pod_of(rendered(*settings, small=False))
    for container in pod["initContainers"] + pod["containers"]:
        requests, limits = (
            {name: container["resources"][side].get(name) for name in ("cpu", "memory")}
            for side in ("requests", "limits")
        )
        assert None not in requests.values()
        assert (requests == limits) is guaranteed


def test_a_download_has_the_cpu_that_waits_for_it() -> None:
    for settings, cpu in (((), "500m"), (("resources.requests.cpu=null",), "100m")):
        assert pod_of(rendered(*settings))["initContainers"][0]["resources"]["requests"]["cpu"] == cpu


def test_what_is_kept_of_prompts_is_in_the_sum() -> None:
    sizes = [
        pod_of(rendered(*given))["containers"][0]["resources"]["limits"]["memory"]
        for given in ((), ("server.cacheRam=256",))
    ]
    assert int(sizes[1].removesuffix("Mi")) - int(sizes[0].removesuffix("Mi")) == 256


@pytest.mark.parametrize(
    ("settings", "strategy"),
    [
        ([], "Recreate"),
        (["storage.kind=emptyDir"], "RollingUpdate"),
        (["storage.kind=ephemeral"], "RollingUpdate"),
        (["storage.accessMode=ReadWriteMany"], "RollingUpdate"),
        (["storage.oneNode=true"], "RollingUpdate"),
        (["model.source=image", "model.image.reference=models/a:1"], "RollingUpdate"),
        (["model.source=existingClaim", "model.existingClaim.name=a"], "Recreate"),
        (["model.source=existingClaim", "model.existingClaim.name=a", "storage.oneNode=true"], "RollingUpdate"),
        (
            ["model.source=existingClaim", "model.existingClaim.name=a", "model.existingClaim.accessMode=ReadOnlyMany"],
            "RollingUpdate",
        ),
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
        (
            ["model.source=existingClaim", "model.existingClaim.name=a", "scaling.replicas=2"],
            "2 replicas cannot share a ReadWriteOnce volume. Ways out: model.existingClaim.accessMode=ReadWriteMany",
        ),
        (["model.source=url", "model.url.address=https://host/f.gguf?X-Amz-Signature=1"], "into a Secret"),
        (["model.source=url", "model.url.address=https://me:word@host/f.gguf"], "into a Secret"),
        (["model.url.address=https://host/f.gguf", "model.url.addressSecret.name=a"], "contradict each other"),
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
    assert variables_of(objects)["LLAMA_ARG_MODEL"] == path
    other = rendered(
        *settings,
        "model.huggingface.revision=def",
        "model.url.address=https://host/f.gguf?x=2",
        "model.s3.address=s3://b/f.gguf",
    )
    assert variables_of(other)["LLAMA_ARG_MODEL"] != path


def test_ones_own_authorities_are_for_the_download_alone() -> None:
    pod = pod_of(rendered("model.caConfigMap.name=company", "model.caConfigMap.key=root.pem"))
    (fetch,) = pod["initContainers"]
    file = fetch["args"][fetch["args"].index("--ca-file") + 1]
    assert file == "/etc/mistral-api/authorities/root.pem"
    assert any(mount["mountPath"] == "/etc/mistral-api/authorities" for mount in fetch["volumeMounts"])
    assert {"name": "authorities", "configMap": {"name": "company"}} in pod["volumes"]
    assert all(mount["name"] != "authorities" for mount in pod["containers"][0]["volumeMounts"])


def test_a_model_on_the_nodes_disk_asks_for_room_there() -> None:
    on_disk = pod_of(rendered("storage.kind=emptyDir"))
    requests = on_disk["containers"][0]["resources"]["requests"]
    assert requests["ephemeral-storage"] == on_disk["volumes"][0]["emptyDir"]["sizeLimit"]
    given = rendered("storage.kind=emptyDir", "resources.requests.ephemeral-storage=2Gi")
    assert pod_of(given)["containers"][0]["resources"]["requests"]["ephemeral-storage"] == "2Gi"
    for settings in (["storage.kind=claim"], ["storage.kind=emptyDir", "model.source=builtin"]):
        assert "ephemeral-storage" not in pod_of(rendered(*settings))["containers"][0]["resources"]["requests"]


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
    assert variables_of(objects)["LLAMA_ARG_MODEL"] == "/models/model.gguf"


def test_a_builtin_model_needs_no_volume() -> None:
    pod = pod_of(rendered("model.source=builtin"))
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp"]


def test_an_old_cluster_has_no_image_volumes() -> None:
    done = attempt("--set", "model.source=image,model.image.reference=a", kubernetes="1.32.0")
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


def test_a_prefix_stands_before_every_path() -> None:
    objects = rendered("server.apiPrefix=/llm")
    template = objects["Deployment"]["spec"]["template"]
    container = template["spec"]["containers"][0]
    assert container["livenessProbe"]["httpGet"]["path"] == "/llm/health/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/llm/health/ready"
    assert template["metadata"]["annotations"]["prometheus.io/path"] == "/llm/metrics"


def test_no_variable_stands_twice_and_the_users_wins() -> None:
    pod = pod_of(rendered("extraEnv[0].name=MISTRAL_API_CPU_LIMIT", "extraEnv[0].value=1k", "model.source=builtin"))
    assert pod["containers"][0]["env"] == [
        {"name": "LLAMA_ARG_MODEL", "value": "/models/SmolLM2-135M-Instruct.Q4_1.gguf"},
        {"name": "MISTRAL_API_CPU_LIMIT", "value": "1k"},
    ]


def test_a_given_cpu_limit_is_not_hidden_by_the_containers() -> None:
    objects = rendered("server.cpuLimit=2")
    assert objects["ConfigMap"]["data"]["MISTRAL_API_CPU_LIMIT"] == "2"
    assert "MISTRAL_API_CPU_LIMIT" not in variables_of(objects)


def test_an_old_pod_keeps_its_model_whatever_becomes_of_the_settings() -> None:
    # A container that restarts reads the ConfigMap as it is now, and only its own pod's init container has run.
    objects = rendered()
    assert "LLAMA_ARG_MODEL" not in objects["ConfigMap"]["data"]
    arguments = pod_of(objects)["initContainers"][0]["args"]
    assert variables_of(objects)["LLAMA_ARG_MODEL"] == arguments[arguments.index("--to") + 1]


def test_an_address_that_is_a_key_stays_in_its_secret() -> None:
    settings = ["model.source=url", "model.url.addressSecret.name=presigned", "model.url.sha256=" + "a" * 64]
    objects = rendered(*settings)
    (fetch,) = pod_of(objects)["initContainers"]
    path = variables_of(objects)["LLAMA_ARG_MODEL"]
    assert fetch["args"] == ["fetch", "--to", path, "--sha256", "a" * 64]
    (source,) = fetch["env"]
    assert source["name"] == "MISTRAL_API_FETCH_SOURCE"
    assert source["valueFrom"]["secretKeyRef"] == {"name": "presigned", "key": "address"}
    assert "PersistentVolumeClaim" in objects
    assert variables_of(rendered(*settings, "model.url.sha256=" + "b" * 64))["LLAMA_ARG_MODEL"] != path


def test_a_pod_that_is_told_to_end_at_once_has_no_hook() -> None:
    pod = pod_of(rendered("scaling.preStopSeconds=0"))
    assert "lifecycle" not in pod["containers"][0]
    assert pod["terminationGracePeriodSeconds"] == 130


def test_what_is_wedged_is_not_waited_for() -> None:
    (container,) = pod_of(rendered("scaling.preStopSeconds=7"))["containers"]
    assert container["livenessProbe"]["terminationGracePeriodSeconds"] == 17


def test_pods_on_one_node_are_kept_there_beside_what_the_user_wants() -> None:
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    mine = f"affinity.podAffinity.{key}[0].topologyKey=zone"
    terms = pod_of(rendered("storage.oneNode=true", mine))["affinity"]["podAffinity"][key]
    assert [term["topologyKey"] for term in terms] == ["zone", "kubernetes.io/hostname"]
    selector = rendered()["Deployment"]["spec"]["selector"]
    assert terms[1]["labelSelector"] == selector
    assert "affinity" not in pod_of(rendered("storage.oneNode=true", "storage.kind=emptyDir"))


def test_an_autoscaler_leaves_the_number_of_pods_to_itself() -> None:
    objects = rendered("scaling.autoscaling.enabled=true", "storage.kind=emptyDir", "scaling.autoscaling.minReplicas=2")
    assert "replicas" not in objects["Deployment"]["spec"]
    assert objects["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_keys_come_from_a_secret_and_stand_in_no_argument() -> None:
    objects = rendered("security.apiKeySecret.name=keys", "model.huggingface.tokenSecret.name=hub")
    assert objects["ConfigMap"]["data"]["LLAMA_ARG_API_KEY_FILE"] == "/etc/mistral-api/keys/api-keys"
    (token,) = pod_of(objects)["initContainers"][0]["env"]
    assert token["valueFrom"]["secretKeyRef"] == {"name": "hub", "key": "token"}


def test_monitors_show_the_key_that_they_are_given() -> None:
    shown = {"credentials": {"name": "scraper", "key": "api-key"}}
    monitors = ["monitoring.serviceMonitor.enabled=true", "monitoring.podMonitor.enabled=true"]
    objects = rendered(*monitors, "monitoring.authorizationSecret.name=scraper")
    assert objects["ServiceMonitor"]["spec"]["endpoints"][0]["authorization"] == shown
    assert objects["PodMonitor"]["spec"]["podMetricsEndpoints"][0]["authorization"] == shown
    assert "authorization" not in rendered(*monitors)["PodMonitor"]["spec"]["podMetricsEndpoints"][0]


def test_a_policy_lets_the_releases_own_test_in() -> None:
    chosen = "network.networkPolicy.from[0].podSelector.matchLabels.app=client"
    objects = rendered("network.networkPolicy.enabled=true", chosen)
    (rule,) = objects["NetworkPolicy"]["spec"]["ingress"]
    assert {"app": "client"} in [peer["podSelector"]["matchLabels"] for peer in rule["from"]]
    assert objects["Pod"]["metadata"]["labels"] in [peer["podSelector"]["matchLabels"] for peer in rule["from"]]


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
