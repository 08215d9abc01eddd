"""A release of the chart in a namespace, driven by helm and kubectl and looked at through the API."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from kubernetes import client

HERE = Path(__file__).resolve().parent
CHART = HERE.parent.parent / "charts" / "mistral-api"
POLL_SECONDS = 0.5
LOOKED_AT = 4
"""Bytes that a download reads before it decides where to begin."""
HUB_TOKEN, S3_KEY, S3_REGION = "hf_of_the_tests", "KEYOFTHETESTS", "eu-test-1"
"""What the model's server wants to see where it plays a hub and S3."""
ASK = """
import json, sys, time, urllib.error, urllib.request
address, body = sys.argv[1], sys.argv[2]
request = urllib.request.Request(address, body.encode() or None, {"Content-Type": "application/json"})
end = time.monotonic() + 30
while True:
    try:
        print(urllib.request.urlopen(request, timeout=120).read().decode())
    except urllib.error.HTTPError as error:
        print(error.read().decode())
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionRefusedError) and time.monotonic() < end:
            time.sleep(0.5)
            continue
        raise
    break
"""
"""Asks once. A node's rules follow a service's endpoints a moment later: until then it refuses connections."""

T = TypeVar("T")


def run(*command: str, stdin: Path | None = None) -> str:
    """Standard output of a program; the test fails with its words if it fails."""
    code, out, errors = attempt(*command, stdin=stdin)
    if code != 0:
        pytest.fail(f"{' '.join(command)[:300]}\n{out[-2000:]}{errors[-3000:]}", pytrace=False)
    return out


def attempt(*command: str, stdin: Path | None = None) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    with open(stdin or "/dev/null", "rb") as given:
        done = subprocess.run(command, stdin=given, capture_output=True, timeout=600, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def wait_until(what: str, seconds: float, look: Callable[[], T], state: Callable[[], str] = str) -> T:
    """The first true answer of `look`; without one `state` says what there is instead."""
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds:g} s: {what}\n{state()}", pytrace=False)
        time.sleep(POLL_SECONDS)
    return found


@dataclass(frozen=True)
class Tools:
    """A pod beside the releases: it serves the model, and asks what only a pod can ask."""

    namespace: str
    address: str
    model: str
    authority: str
    """The certificate, in PEM, of who vouches for it over TLS."""

    def ask(self, address: str, body: Mapping[str, object] | None = None) -> Any:
        """The JSON that an address answers, whatever its status."""
        return json.loads(self.text(address, body))

    def text(self, address: str, body: Mapping[str, object] | None = None) -> str:
        return self.python(ASK, address, json.dumps(body) if body is not None else "")

    def python(self, script: str, *arguments: str) -> str:
        return run("kubectl", "-n", self.namespace, "exec", "tools", "--", "python3", "-c", script, *arguments)

    def served(self, name: str) -> list[Any]:
        """What was downloaded under a name that a test made its own; a look at the first bytes does not count."""
        asked: list[Any] = self.ask(f"{self.address}/asked")
        return [entry for entry in asked if name in entry["path"] and entry["sent"] > LOOKED_AT]


@dataclass(frozen=True)
class Release:
    """The chart under a name in a namespace of its own."""

    name: str
    namespace: str
    values: Mapping[str, object]
    tools: Tools

    @property
    def address(self) -> str:
        return f"http://{self.name}.{self.namespace}.svc:8000"

    def install(self, *, wait: bool = True, **values: object) -> None:
        """Installs or upgrades; `values` are written with `__` for dots."""
        run(*self.command(**values))
        if wait:
            self.wait_ready()

    def command(self, **values: object) -> list[str]:
        given = {**self.values, **{name.replace("__", "."): value for name, value in values.items()}}
        settings = [word for name, value in given.items() for word in ("--set-json", f"{name}={json.dumps(value)}")]
        small = ["--values", str(CHART / "values-small.yaml")]
        return ["helm", "upgrade", "--install", self.name, str(CHART), "--namespace", self.namespace, *small, *settings]

    def helm(self, verb: str, *arguments: str) -> str:
        return run("helm", verb, self.name, *arguments, "--namespace", self.namespace)

    def wait_ready(self, seconds: float = 360) -> None:
        """Every pod is of the newest kind and ready, and no older one serves."""
        wait_until(f"{self.name} is ready", seconds, self.settled, self.pods_in_words)

    def settled(self) -> bool:
        deployment: Any = client.AppsV1Api().read_namespaced_deployment(self.name, self.namespace)
        status, wanted = deployment.status, deployment.spec.replicas
        seen = (status.observed_generation or 0) >= deployment.metadata.generation
        return bool(
            seen
            and (status.updated_replicas or 0) == (status.available_replicas or 0) == (status.replicas or 0) == wanted
        )

    def pods(self) -> list[Any]:
        """Pods that are not on their way out."""
        found: Any = client.CoreV1Api().list_namespaced_pod(
            self.namespace, label_selector=f"app.kubernetes.io/instance={self.name},app.kubernetes.io/name=mistral-api"
        )
        return [pod for pod in found.items if pod.metadata.deletion_timestamp is None]

    def pods_in_words(self) -> str:
        return attempt("kubectl", "-n", self.namespace, "get", "pods")[1] + self.fetch_log()

    def fetch_log(self) -> str:
        """What the download said, also in containers that are gone."""
        names = [pod.metadata.name for pod in self.pods()]
        flags: tuple[list[str], ...] = ([], ["--previous"])
        calls = [
            ["kubectl", "-n", self.namespace, "logs", name, "-c", "fetch-model", *flag]
            for name in names
            for flag in flags
        ]
        return "".join(attempt(*call)[1] for call in calls)

    def first_words(self) -> str:
        """An answer of the service."""
        answer = self.tools.ask(f"{self.address}/v1/completions", {"prompt": "Once upon a time", "max_tokens": 8})
        assert "choices" in answer, answer
        return str(answer["choices"][0]["text"])


class Load:
    """Streams without a pause from a pod, until `result`."""

    def __init__(self, release: Release, image: str, workers: int = 3) -> None:
        self._release = release
        self._in = ("kubectl", "-n", release.namespace)
        script = (HERE / "load.py").read_text()
        environment = {"ADDRESS": release.address, "WORKERS": str(workers)}
        manifest = pod("load", image, script, environment)
        client.CoreV1Api().create_namespaced_pod(release.namespace, manifest)
        wait_until("the load runs", 60, lambda: self._phase() == "Running")
        time.sleep(3)  # streams are under way

    def _phase(self) -> str:
        found: Any = client.CoreV1Api().read_namespaced_pod("load", self._release.namespace)
        return str(found.status.phase)

    def result(self) -> dict[str, Any]:
        """`whole` (how many), `failed` (why each), `longest` (seconds)."""
        run(*self._in, "exec", "load", "--", "python3", "-c", "open('/tmp/stop', 'w')")
        wait_until("the load has ended", 180, lambda: self._phase() in ("Succeeded", "Failed"))
        found: dict[str, Any] = json.loads(run(*self._in, "logs", "load").splitlines()[-1])
        client.CoreV1Api().delete_namespaced_pod("load", self._release.namespace, grace_period_seconds=0)
        return found


def pod(
    name: str, image: str, script: str, environment: Mapping[str, str], volume: Mapping[str, Any] | None = None
) -> Any:
    """A pod that runs a script in the service's image, as `restricted` demands it; /models is the volume, or the pod's own."""
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", script],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        # Without a request it stands still while all that has one computes.
        "resources": {"requests": {"cpu": "100m"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    security = {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec = {
        "containers": [container],
        "restartPolicy": "Never",
        "securityContext": security,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "volumes": [{"name": "models", **(volume or {"emptyDir": {}})}],
    }
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec}
