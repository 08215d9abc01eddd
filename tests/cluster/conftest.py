"""Tests on a real cluster: any that KUBECONFIG points to, with an image that its nodes have or can pull (CLUSTER_TEST_IMAGE).

helm and kubectl must be on the PATH. Without these the tests are skipped. Every namespace enforces Pod Security `restricted`, but where
a test is marked with another level. Two tests want images of their own: CLUSTER_TEST_DEV_IMAGE (the Dockerfile's target dev) and
CLUSTER_TEST_MODEL_IMAGE (only a file, /model.gguf).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from kubernetes import client, config

from tests.cluster.release import HERE, HUB_TOKEN, S3_KEY, S3_REGION, Release, Tools, pod, run, wait_until

LEVEL = "pod-security.kubernetes.io/enforce"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(1500))


@pytest.fixture(scope="session")
def image() -> str:
    """The image under test; skips where there is no cluster."""
    missing = [name for name in ("KUBECONFIG", "CLUSTER_TEST_IMAGE") if not os.environ.get(name)]
    missing += [program for program in ("helm", "kubectl") if shutil.which(program) is None]
    if missing:
        said = os.environ.get("CLUSTER_TESTS_SAID")
        pytest.skip(said or f"no cluster to test on: {', '.join(missing)} missing")
    config.load_kube_config()  # type: ignore[no-untyped-call]
    return os.environ["CLUSTER_TEST_IMAGE"]


@contextmanager
def a_namespace(name: str, level: str = "restricted") -> Iterator[str]:
    core: Any = client.CoreV1Api()
    core.create_namespace({"metadata": {"name": name, "labels": {LEVEL: level}}})
    try:
        yield name
    finally:
        run("kubectl", "-n", name, "delete", "deploy,pod", "--all", "--grace-period=0", "--force", "--wait=false")
        core.delete_namespace(name)


@pytest.fixture(scope="session")
def tools(image: str, default_model_path: Path) -> Iterator[Tools]:
    """The pod that serves the model."""
    with a_namespace(f"mistral-tools-{os.getpid()}") as namespace:
        core: Any = client.CoreV1Api()
        host = f"tools.{namespace}.svc"
        authority = trustme.CA()
        certificate = authority.issue_cert(host).private_key_and_cert_chain_pem.bytes().decode()
        environment = {"CERTIFICATE": certificate, "HUB_TOKEN": HUB_TOKEN, "S3_KEY": S3_KEY, "S3_REGION": S3_REGION}
        script = (HERE / "model_server.py").read_text()
        core.create_namespaced_pod(namespace, pod("tools", image, script, environment))
        ports = [{"name": f"p{port}", "port": port, "targetPort": target} for port, target in ((80, 8080), (443, 8443))]
        core.create_namespaced_service(
            namespace, {"metadata": {"name": "tools"}, "spec": {"selector": {"app": "tools"}, "ports": ports}}
        )
        run("kubectl", "-n", namespace, "wait", "--for=condition=Ready", "pod/tools", "--timeout=120s")
        write = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, open('/models/model.gguf', 'wb'))"
        run("kubectl", "-n", namespace, "exec", "-i", "tools", "--", "python3", "-c", write, stdin=default_model_path)
        size = str(default_model_path.stat().st_size)
        check = "import os; print(os.path.getsize('/models/model.gguf'))"
        made = Tools(namespace, f"http://{host}", "model.gguf", authority.cert_pem.bytes().decode())
        wait_until("the model is in the pod", 120, lambda: made.python(check).strip() == size)
        yield made


@pytest.fixture(scope="session")
def sha256(default_model_path: Path) -> str:
    with default_model_path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture
def namespace(image: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace named after the test."""
    words = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())
    marked = request.node.get_closest_marker("pod_security")
    with a_namespace(f"{words[-45:].strip('-')}-{os.getpid()}", *(marked.args if marked else ())) as name:
        yield name


@pytest.fixture
def release(image: str, namespace: str, tools: Tools, sha256: str) -> Callable[..., Release]:
    """A release that is not installed yet; takes its name and values of its own."""
    repository, _, tag = image.rpartition(":")

    def made(name: str = "llm", **values: object) -> Release:
        common: dict[str, object] = {
            "image.repository": repository,
            "image.tag": tag,
            "image.pullPolicy": "IfNotPresent",
            "model.source": "url",
            "model.url.address": f"{tools.address}/{tools.model}",
            "model.url.sha256": sha256,
            "storage.kind": "emptyDir",
            "resources.requests.cpu": "400m",
            "scaling.drainSeconds": 60,
        }
        return Release(
            name, namespace, common | {key.replace("__", "."): value for key, value in values.items()}, tools
        )

    return made
