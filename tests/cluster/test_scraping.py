"""A real Prometheus finds the pods by their annotations, and by what a ServiceMonitor selects.

It runs beside the tests and reaches the pods through `kubectl proxy`, so any cluster will do.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from tests.cluster.release import Release, wait_until

Make = Callable[..., Release]
OF_POD = "__meta_kubernetes_pod_"
OF_SLICE = "__meta_kubernetes_endpointslice_"

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not on the PATH")


def test_prometheus_scrapes_the_pods(release: Make, tmp_path: Path) -> None:
    llm = release()
    llm.install()
    (pod,) = [pod.metadata.name for pod in llm.pods()]
    with api_server() as server, prometheus(configuration(server, llm), tmp_path) as address:
        wanted = {("annotations", pod, "1"), ("service", pod, "1")}
        expect(address, "up", wanted)
        assert llm.first_words()
        expect(address, "sum by (job, pod) (mistral_api_requests_total)", wanted)


def expect(address: str, query: str, wanted: set[tuple[str, str, str]]) -> None:
    wait_until(
        f"{query} is {wanted}", 60, lambda: set(asked(address, query)) == wanted, lambda: str(asked(address, query))
    )


def configuration(server: str, release: Release) -> dict[str, Any]:
    """The relabelling of everybody's `prometheus.io/*` job, and of what the operator makes from a ServiceMonitor; both end in a way
    through the API server. Debian's Prometheus cannot look for pods itself, so it is told the labels that it would have found."""
    way = {"target_label": "__address__", "replacement": urllib.parse.urlsplit(server).netloc}
    name = {"source_labels": [f"{OF_POD}name"], "target_label": "pod"}
    by_annotations = [
        keep(f"{OF_POD}annotation_prometheus_io_scrape", "true"),
        path(f"{OF_POD}name", f"{OF_POD}annotation_prometheus_io_port", f"{OF_POD}annotation_prometheus_io_path"),
    ]
    by_service = [
        keep("__meta_kubernetes_service_label_app_kubernetes_io_name", "mistral-api"),
        keep(f"{OF_SLICE}port_name", "http"),
        path(f"{OF_POD}name", f"{OF_SLICE}port"),
    ]
    jobs = [("annotations", pods(release), by_annotations), ("service", endpoints(release), by_service)]
    return {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {
                "job_name": job,
                "static_configs": [{"targets": ["unknown:1"], "labels": labels} for labels in found],
                "relabel_configs": [*relabelling, name, way],
            }
            for job, found, relabelling in jobs
        ],
    }


def pods(release: Release) -> list[dict[str, str]]:
    """What Prometheus' role `pod` finds."""
    return [
        {"__meta_kubernetes_namespace": release.namespace, f"{OF_POD}name": pod.metadata.name}
        | labels(f"{OF_POD}annotation_", pod.metadata.annotations)
        for pod in release.pods()
    ]


def endpoints(release: Release) -> list[dict[str, str]]:
    """What its role `endpointslice` finds."""
    service: Any = client.CoreV1Api().read_namespaced_service(release.name, release.namespace)
    chosen = f"kubernetes.io/service-name={release.name}"
    slices: Any = client.DiscoveryV1Api().list_namespaced_endpoint_slice(release.namespace, label_selector=chosen)
    return [
        {
            "__meta_kubernetes_namespace": release.namespace,
            f"{OF_POD}name": endpoint.target_ref.name,
            f"{OF_SLICE}port": str(port.port),
            f"{OF_SLICE}port_name": port.name,
        }
        | labels("__meta_kubernetes_service_label_", service.metadata.labels)
        for one in slices.items
        for endpoint in one.endpoints
        for port in one.ports
    ]


def labels(prefix: str, found: dict[str, str]) -> dict[str, str]:
    return {prefix + re.sub("[^a-zA-Z0-9]", "_", name): value for name, value in found.items()}


def keep(label: str, value: str) -> dict[str, Any]:
    return {"action": "keep", "source_labels": [label], "regex": value}


def path(*labels: str) -> dict[str, Any]:
    """The pod's own path (/metrics where it names none), behind the API server's."""
    tail = "$4" if len(labels) == 3 else "/metrics"
    return {
        "source_labels": ["__meta_kubernetes_namespace", *labels],
        "regex": ";".join(["(.+)"] * (len(labels) + 1)),
        "target_label": "__metrics_path__",
        "replacement": f"/api/v1/namespaces/$1/pods/$2:$3/proxy{tail}",
    }


@contextmanager
def api_server() -> Iterator[str]:
    """The API server's address without a word about who asks."""
    command = ["kubectl", "proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            assert proxy.stdout is not None
            yield f"http://{proxy.stdout.readline().split()[-1]}"
        finally:
            proxy.terminate()


@contextmanager
def prometheus(settings: dict[str, Any], folder: Path) -> Iterator[str]:
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{plug.getsockname()[1]}"
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([*command, f"--web.listen-address={place}"], stdout=log, stderr=log) as process,
    ):
        try:
            wait_until("prometheus listens", 60, lambda: listens(place), (folder / "log").read_text)
            yield f"http://{place}"
        finally:
            process.terminate()


def listens(place: str) -> bool:
    try:
        socket.create_connection((place.partition(":")[0], int(place.partition(":")[2]))).close()
    except OSError:
        return False
    return True


def asked(address: str, query: str) -> list[tuple[str, str, str]]:
    """Job, pod and value of what a query finds."""
    with urllib.request.urlopen(f"{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}") as answer:
        found = json.load(answer)["data"]["result"]
    return [(one["metric"]["job"], one["metric"].get("pod", ""), one["value"][1]) for one in found]
