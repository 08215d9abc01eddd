"""A release from install to reinstall."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubernetes import client

from tests.cluster.release import Release, attempt, run, wait_until

Make = Callable[..., Release]


def test_an_install_answers_and_passes_its_own_test(release: Make) -> None:
    llm = release(resources__requests__cpu=1, resources__limits__cpu=1)
    llm.install()
    assert llm.first_words()
    assert "Succeeded" in llm.helm("test")
    assert [pod.status.qos_class for pod in llm.pods()] == ["Guaranteed"]
    # The bytecode in the image is used as it is.
    imports = ("kubectl", "-n", llm.namespace, "exec", "deploy/llm", "-c", "mistral-api", "--", "python3", "-v", "-c")
    loaded = attempt(*imports, "import service.app")[2]
    assert "/app/service/__pycache__/app." in loaded
    assert "bytecode is stale" not in loaded


def test_a_release_of_the_services_own_name_answers(release: Make) -> None:
    llm = release("mistral-api")
    llm.install(scaling__replicas=2)
    assert llm.first_words()


def test_only_a_changed_setting_rolls_the_pods_and_a_rollback_rolls_back(release: Make) -> None:
    llm = release()
    llm.install()
    (first,) = llm.pods()
    llm.install()
    assert [pod.metadata.uid for pod in llm.pods()] == [first.metadata.uid]

    llm.install(server__ctxSize=4096)
    serves(llm, context=4096)
    llm.helm("rollback", "1")
    llm.wait_ready()
    serves(llm, context=8192)


def serves(release: Release, context: int) -> None:
    """A pod that goes away may answer until every node's rules know it."""

    def found() -> bool:
        settings = release.tools.ask(f"{release.address}/props")["default_generation_settings"]
        return bool(settings["n_ctx"] == context)

    wait_until(f"the context is {context}", 30, found)


def test_the_claim_outlives_the_release_and_nothing_is_downloaded_twice(release: Make) -> None:
    llm = release(storage__kind="claim", model__url__address="set below")
    address = f"{llm.tools.address}/slow/900000000/{llm.tools.model}"
    before = len(llm.tools.served("900000000"))
    llm.install(model__url__address=address)
    llm.helm("uninstall", "--wait")
    wait_until("the pods are gone", 120, lambda: not all_pods(llm))
    claims: Any = client.CoreV1Api().list_namespaced_persistent_volume_claim(llm.namespace).items
    assert [claim.metadata.name for claim in claims] == ["llm-model"]

    llm.install(model__url__address=address)
    assert llm.first_words()
    run("kubectl", "-n", llm.namespace, "delete", "pod", "--all")
    llm.wait_ready()
    assert len(llm.tools.served("900000000")) == before + 1


def all_pods(release: Release) -> list[object]:
    return list(client.CoreV1Api().list_namespaced_pod(release.namespace).items)


def test_another_model_takes_the_claim_as_it_is(release: Make) -> None:
    llm = release(storage__kind="claim")
    llm.install(wait=False, model__sizeBytes=400_000_000)
    llm.install()
    claims: Any = client.CoreV1Api().list_namespaced_persistent_volume_claim(llm.namespace).items
    (claim,) = claims
    assert claim.spec.resources.requests["storage"] == "1787Mi"
    code, _, errors = attempt(*llm.command(storage__accessMode="ReadWriteMany"))
    assert code != 0
    assert "the claim llm-model is ReadWriteOnce, and that cannot be changed" in errors


def test_a_wrong_sum_is_said_and_never_served(release: Make) -> None:
    llm = release(model__url__sha256="0" * 64)
    llm.install(wait=False)
    words = wait_until("the pod says why", 120, lambda: said(llm, "sha256"))
    assert "0" * 64 in words
    assert not any(pod.status.container_statuses[0].started for pod in llm.pods())


def said(release: Release, word: str) -> str:
    text = release.fetch_log()
    return text if word in text and '"error"' in text else ""


def test_a_download_that_is_killed_goes_on_where_it_was(release: Make) -> None:
    llm = release(storage__kind="claim")
    rate = 8_000_000
    llm.install(wait=False, model__url__address=f"{llm.tools.address}/slow/{rate}/{llm.tools.model}")
    wait_until(
        "a quarter has come", 60, lambda: sum(entry["sent"] for entry in llm.tools.served(str(rate))) > 25_000_000
    )
    run("kubectl", "-n", llm.namespace, "delete", "pod", "--all", "--grace-period=0", "--force")
    llm.wait_ready()
    first, *others = llm.tools.served(str(rate))
    assert first["begin"] == 0
    assert others
    assert min(entry["begin"] for entry in others) > 20_000_000


def test_a_limit_below_the_models_need_is_refused_with_the_sum(release: Make) -> None:
    llm = release()
    code, _, errors = attempt(*llm.command(resources__limits__memory="300Mi"))
    assert code != 0
    assert "model 93 MiB + 8192 tokens of context" in errors
    assert "= 786 MiB" in errors


def test_a_service_that_takes_no_connection_is_restarted(release: Make) -> None:
    llm = release()
    llm.install()
    (pod,) = llm.pods()
    run(
        "kubectl",
        "-n",
        llm.namespace,
        "exec",
        pod.metadata.name,
        "-c",
        "mistral-api",
        "--",
        "python3",
        "-c",
        STOP_ANSWERING,
    )
    wait_until("the pod leaves the service", 60, lambda: not ready(llm))
    wait_until("the container starts again", 180, lambda: llm.pods()[0].status.container_statuses[0].restart_count == 1)
    llm.wait_ready()
    assert llm.first_words()


# Without descriptors it can take no connection: it is there and answers nothing. (Process 1 takes no SIGSTOP from its own container.)
STOP_ANSWERING = "import resource; resource.prlimit(1, resource.RLIMIT_NOFILE, (5, 5))"


def test_a_stuck_engine_leaves_the_service_and_is_restarted_at_once(release: Make) -> None:
    llm = release(scaling__drainSeconds=600, **debugged())
    llm.install()
    assert llm.first_words()
    in_container = ("kubectl", "-n", llm.namespace, "exec", llm.pods()[0].metadata.name, "-c", "mistral-api", "--")
    run(*in_container, "python3", "-c", "import os, signal; os.kill(1, signal.SIGUSR1)")
    llm.tools.python(ASK_AND_LEAVE, f"{llm.address}/v1/completions")
    # It is called stuck after a minute, restarted after another, and its requests need not be waited for.
    wait_until("the pod leaves the service", 120, lambda: not ready(llm))
    wait_until("the container starts again", 120, lambda: llm.pods()[0].status.container_statuses[0].restart_count == 1)
    llm.wait_ready()
    assert llm.first_words()


def debugged() -> dict[str, object]:
    """Values that give the server a module of ours, which Python imports before all others."""
    configmap = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "debug"}}
    return {
        "extraObjects": [configmap | {"data": {"sitecustomize.py": STOP_THE_ENGINE}}],
        "extraVolumes": [{"name": "debug", "configMap": {"name": "debug"}}],
        "extraVolumeMounts": [{"name": "debug", "mountPath": "/debug"}],
        "extraEnv": [{"name": "PYTHONPATH", "value": "/debug"}],
    }


# After SIGUSR1 the engine's thread never ends its next step; all others go on.
STOP_THE_ENGINE = """
import signal
import threading
import time

stop = threading.Event()
signal.signal(signal.SIGUSR1, lambda *_: stop.set())


def profile(frame, event, argument):
    if stop.is_set() and frame.f_code.co_name == "_carry_out":
        time.sleep(3600)


threading.setprofile(profile)
"""

ASK_AND_LEAVE = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], b'{"prompt": "Once", "max_tokens": 2}', {"Content-Type": "application/json"})
try:
    urllib.request.urlopen(request, timeout=3)
except TimeoutError:
    pass
else:
    sys.exit("the engine still answers")
"""


def ready(release: Release) -> bool:
    return all(status.ready for pod in release.pods() for status in pod.status.container_statuses)
