"""A pod whose CPU is changed in place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client

from tests.cluster.release import Release, run, wait_until

Make = Callable[..., Release]


def test_threads_follow_a_cpu_limit_that_is_changed_in_place(release: Make) -> None:
    nodes: Any = client.CoreV1Api().list_node().items
    if all(node.status.allocatable["cpu"] in ("1", "1000m") for node in nodes):
        pytest.skip("no node has two CPUs")
    llm = release(resources__limits__cpu=1)
    llm.install()
    assert threads(llm) == 1
    resize(llm, 2)
    wait_until("2 threads", 60, lambda: threads(llm) == 2, llm.pods_in_words)
    resize(llm, 1)
    wait_until("1 thread", 60, lambda: threads(llm) == 1, llm.pods_in_words)
    assert [status.restart_count for pod in llm.pods() for status in pod.status.container_statuses] == [0]


def resize(release: Release, cpus: int) -> None:
    (pod,) = release.pods()
    patch = {"spec": {"containers": [{"name": "mistral-api", "resources": {"limits": {"cpu": str(cpus)}}}]}}
    name = ("-n", release.namespace, "patch", "pod", pod.metadata.name)
    run("kubectl", *name, "--subresource", "resize", "--patch", json.dumps(patch))


def threads(release: Release) -> int:
    """Threads for text, once a text has been asked for: nothing is read anew while there is nothing to do."""
    assert release.first_words()
    found = re.search(
        r'^mistral_api_threads{for="decode"} (\d+)', release.tools.text(f"{release.address}/metrics"), re.MULTILINE
    )
    assert found is not None
    return int(found[1])
