"""Every set of values, by Helm 3 and Helm 4, is what Kubernetes takes: from the oldest version that the chart is for to the newest."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.chart.rendering import CHART, HELM_3, HELM_4, ROOT, attempt

PROGRAMS = [str(path) for path in (HELM_3, HELM_4) if path.exists()] or [
    path for path in (shutil.which("helm"),) if path
]
KUBERNETES = ("1.30", "1.34", "1.37")
FOREIGN = ("monitoring.coreos.com/", "gateway.networking.k8s.io/", "kustomize.config.k8s.io/")
"""Kinds that Kubernetes itself does not know."""
EVERYTHING = (
    "network.ingress.enabled=true,network.ingress.className=a,network.networkPolicy.enabled=true,network.service.nodePort=30000,"
    "network.service.type=NodePort,network.httpRoute.enabled=true,network.httpRoute.parentRefs[0].name=a,scaling.autoscaling.enabled=true,"
    "scaling.autoscaling.minReplicas=2,storage.kind=ephemeral,security.apiKeySecret.name=a,monitoring.serviceMonitor.enabled=true,"
    "monitoring.podMonitor.enabled=true,monitoring.authorizationSecret.name=a,monitoring.ruleGroups[0].name=a,monitoring.dashboards.a=b,"
    "model.huggingface.tokenSecret.name=a,model.caConfigMap.name=a,priorityClassName=a,nodeSelector.a=b,tolerations[0].operator=Exists,imagePullSecrets[0].name=a"
)
SETS = {
    "default": [],
    "small": ["--values", str(CHART / "values-small.yaml")],
    "gpu": ["--values", str(CHART / "values-gpu.yaml")],
    "dev": ["--values", str(CHART / "values-small.yaml"), "--values", str(CHART / "values-dev.yaml")],
    "emptyDir": ["--set", "storage.kind=emptyDir,scaling.replicas=3,scaling.preStopSeconds=0"],
    "one node": ["--set", "storage.oneNode=true,scaling.replicas=2"],
    "url": ["--set", "model.source=url,model.url.addressSecret.name=a"],
    "s3": ["--set", "model.source=s3,model.s3.address=s3://a/b.gguf,model.s3.credentialsSecret=a"],
    "image": ["--set", "model.source=image,model.image.reference=a,model.image.pullPolicy=Always"],
    "existing claim": ["--set", "model.source=existingClaim,model.existingClaim.name=a"],
    "host path": ["--set", "model.source=hostPath,model.hostPath.folder=/srv"],
    "everything": ["--set", EVERYTHING],
}

pytestmark = pytest.mark.skipif(not PROGRAMS, reason="helm is not on the PATH, and `make helm` left none")


def rendered(program: str, kubernetes: str, name: str) -> list[Any]:
    done = attempt(*SETS[name], small=False, program=program, kubernetes=f"{kubernetes}.0")
    assert done.returncode == 0, done.stderr
    return [entry for entry in yaml.safe_load_all(done.stdout) if entry]


# Image volumes came with 1.33: before, the chart refuses them.
@pytest.mark.parametrize(
    ("kubernetes", "name"),
    [(version, name) for version in KUBERNETES for name in SETS if (version, name) != ("1.30", "image")],
)
def test_kubernetes_knows_every_field(kubernetes: str, name: str) -> None:
    made = rendered(PROGRAMS[-1], kubernetes, name)
    for entry in made:
        check(entry, kubernetes)
    assert any(entry["kind"] == "Deployment" for entry in made)


@pytest.mark.skipif(len(PROGRAMS) < 2, reason="`make helm` left no Helm 3 and 4 here")
@pytest.mark.parametrize("name", SETS)
def test_helm_3_and_helm_4_make_the_same(name: str) -> None:
    assert rendered(PROGRAMS[0], "1.34", name) == rendered(PROGRAMS[1], "1.34", name)


@pytest.mark.parametrize("kubernetes", KUBERNETES)
def test_kubernetes_knows_every_field_of_the_manifests(kubernetes: str) -> None:
    made = list(manifests())
    for entry in made:
        check(entry, kubernetes)
    assert len(made) > 5


def manifests() -> Iterator[Any]:
    """Whole objects of k8s/: no patches, and nothing of kustomize's own."""
    for path in sorted((ROOT / "k8s").rglob("*.yaml")):
        entry = yaml.safe_load(path.read_text())
        if isinstance(entry, dict) and "$patch" not in entry:
            yield entry


def test_a_field_that_is_unknown_or_of_another_type_is_found() -> None:
    entry = next(entry for entry in rendered(PROGRAMS[-1], "1.34", "small") if entry["kind"] == "Deployment")
    for change in ({"replicass": 1}, {"replicas": "1"}):
        with pytest.raises(kubernetes_validate.ValidationError):
            check(entry | {"spec": entry["spec"] | change}, "1.34")


def check(entry: dict[str, Any], kubernetes: str) -> None:
    if not entry["apiVersion"].startswith(FOREIGN):
        kubernetes_validate.validate(entry, kubernetes, strict=True)
