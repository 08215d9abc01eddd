"""Where the model can come from; `url` and a volume that keeps it are in test_life.py."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from kubernetes import client

from tests.cluster.release import HUB_TOKEN, S3_KEY, S3_REGION, Release, Tools, pod, run, wait_until

Make = Callable[..., Release]
FETCH = """
import os, shutil, sys, urllib.request
with urllib.request.urlopen(os.environ["ADDRESS"]) as answer, open("/models/model.gguf", "wb") as file:
    shutil.copyfileobj(answer, file)
"""


def test_a_mirror_of_the_hub_with_a_certificate_of_ones_own(release: Make, tools: Tools) -> None:
    llm = release(
        model__source="huggingface",
        model__huggingface__repo="owner/model-gguf",
        model__huggingface__file=tools.model,
        model__huggingface__revision="main",
        model__huggingface__sha256="",
        model__huggingface__endpoint=tools.address.replace("http:", "https:"),
        model__huggingface__tokenSecret__name="hub",
        model__caConfigMap__name="authorities",
        extraObjects=[
            secret("hub", {"token": HUB_TOKEN}),
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "authorities"},
                "data": {"ca.crt": tools.authority},
            },
        ],
        storage__kind="ephemeral",
    )
    llm.install()
    assert llm.first_words()
    assert "verified" in llm.fetch_log()
    # What is downloaded is the commit that the hub named.
    assert len(tools.served("/owner/model-gguf/resolve/0123456789abcdef")) == 1


def test_a_bucket_that_wants_keys_is_read_by_one_of_two_pods_on_one_volume(release: Make, tools: Tools) -> None:
    llm = release(
        model__source="s3",
        model__s3__address=f"s3://models/{tools.model}",
        model__s3__endpoint=f"{tools.address}/s3",
        model__s3__region=S3_REGION,
        model__s3__credentialsSecret="bucket",
        extraObjects=[secret("bucket", {"AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": "secret"})],
        storage__kind="claim",
        storage__oneNode=True,
        scaling__replicas=2,
    )
    llm.install()
    assert llm.first_words()
    assert len(tools.served("/s3/models/")) == 1


def secret(name: str, content: Mapping[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": dict(content)}


def test_pods_of_one_node_share_a_claim_that_has_the_file(
    release: Make, namespace: str, tools: Tools, image: str
) -> None:
    core: Any = client.CoreV1Api()
    room = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "200Mi"}}}
    core.create_namespaced_persistent_volume_claim(namespace, {"metadata": {"name": "mine"}, "spec": room})
    run_to_its_end(namespace, filling(image, tools, {"persistentVolumeClaim": {"claimName": "mine"}}))
    llm = release(
        model__source="existingClaim",
        model__existingClaim__name="mine",
        storage__oneNode=True,
        scaling__replicas=2,
    )
    llm.install()
    assert llm.first_words()
    assert [pod.spec.init_containers for pod in llm.pods()] == [None, None]


@pytest.mark.pod_security("privileged")
def test_a_folder_of_the_node(release: Make, namespace: str, tools: Tools, image: str) -> None:
    folder = f"/var/tmp/mistral-api-test-{os.getpid()}"
    volume = {"hostPath": {"path": folder, "type": "DirectoryOrCreate"}}
    run_to_its_end(namespace, as_root(filling(image, tools, volume)))
    core: Any = client.CoreV1Api()
    node = core.read_namespaced_pod("fill", namespace).spec.node_name
    try:
        llm = release(
            model__source="hostPath",
            model__hostPath__folder=folder,
            nodeSelector={"kubernetes.io/hostname": node},
        )
        llm.install()
        assert llm.first_words()
    finally:
        emptying = as_root(pod("empty", image, "import os; os.remove('/models/model.gguf')", {}, volume))
        emptying["spec"]["nodeName"] = node
        run_to_its_end(namespace, emptying)


def filling(image: str, tools: Tools, volume: Mapping[str, Any]) -> Any:
    """A pod that lays the model into a volume."""
    return pod("fill", image, FETCH, {"ADDRESS": f"{tools.address}/{tools.model}"}, volume)


def as_root(made: Any) -> Any:
    """A folder that the node's kubelet makes is root's."""
    made["spec"]["securityContext"] = {"runAsUser": 0}
    return made


def run_to_its_end(namespace: str, made: Any) -> None:
    core: Any = client.CoreV1Api()
    core.create_namespaced_pod(namespace, made)
    name = made["metadata"]["name"]

    def phase() -> str:
        return str(core.read_namespaced_pod(name, namespace).status.phase)

    wait_until(f"{name} has ended", 120, lambda: phase() in ("Succeeded", "Failed"), phase)
    assert phase() == "Succeeded", run("kubectl", "-n", namespace, "logs", name)


def test_an_image_that_holds_the_file(release: Make) -> None:
    llm = release(model__source="image", model__image__reference=named("CLUSTER_TEST_MODEL_IMAGE"), scaling__replicas=2)
    llm.install()
    assert llm.first_words()


def test_the_images_own_model(release: Make) -> None:
    repository, _, tag = named("CLUSTER_TEST_DEV_IMAGE").rpartition(":")
    llm = release(
        image__repository=repository,
        image__tag=tag,
        model__source="builtin",
        security__readOnlyRootFilesystem=False,
    )
    llm.install()
    assert llm.first_words()


def named(variable: str) -> str:
    if variable not in os.environ:
        pytest.skip(f"{variable} names no image")
    return os.environ[variable]
