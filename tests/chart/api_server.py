"""As much of a Kubernetes API server as helm asks while it renders: which kinds there are, and one claim for `lookup`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

KINDS = {"v1": ("PersistentVolumeClaim", "ServiceAccount", "ConfigMap", "Service", "Pod"), "apps/v1": ("Deployment",)}

OWNED = {"app.kubernetes.io/managed-by": "Helm"}
RELEASE = {"meta.helm.sh/release-name": "llm", "meta.helm.sh/release-namespace": "default"}


def resources(version: str) -> dict[str, Any]:
    """Discovery's answer."""
    kinds = [
        {"name": f"{kind.lower()}s", "singularName": kind.lower(), "kind": kind, "namespaced": True, "verbs": ["get"]}
        for kind in KINDS[version]
    ]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": kinds}


def claim(
    size: str, mode: str = "ReadWriteOnce", capacity: str = "", storage_class: str = "standard"
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "llm-model", "namespace": "default", "labels": OWNED, "annotations": RELEASE},
        "spec": {
            "accessModes": [mode],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": size}},
            "volumeName": "pvc-1",
        },
        "status": {"phase": "Bound", "capacity": {"storage": capacity or size}},
    }


@contextmanager
def api_server(live: dict[str, Any], folder: Path) -> Iterator[Path]:
    """The file with which helm finds a server that has the claim `live`."""
    apps = {"groupVersion": "apps/v1", "version": "v1"}
    answers: dict[str, Any] = {
        "/version": {"major": "1", "minor": "36", "gitVersion": "v1.36.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [{"name": "apps", "versions": [apps]}]},
        "/api/v1": resources("v1"),
        "/apis/apps/v1": resources("apps/v1"),
        "/api/v1/namespaces/default/persistentvolumeclaims/llm-model": live,
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(self.path.partition("?")[0])
            missing = {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
            body = json.dumps(found or missing).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(kubeconfig(f"http://127.0.0.1:{server.server_port}")))
        yield path
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def kubeconfig(address: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": address}}],
        "contexts": [{"name": "test", "context": {"cluster": "test"}}],
        "current-context": "test",
    }
