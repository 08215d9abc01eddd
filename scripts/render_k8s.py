"""Writes k8s/ from the chart. Usage: render_k8s.py [--check]   (needs helm on the PATH)

    base/                 the chart with its default values: every object that a plain install makes
    overlays/dev          the same with values-small.yaml; overlays/production: two pods, each with a disk of its own
    components/           what is optional: include it from an overlay

--check writes nothing and ends with 1 where a file is not what it would be.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "mistral-api"
TARGET = ROOT / "k8s"
NAME = "mistral-api"
HEAD = "# Made from the chart by `make k8s`.\n"
OF_HELM = ("helm.sh/chart", "app.kubernetes.io/managed-by", "helm.sh/resource-policy")

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Overlay:
    """A variant of the base: what the chart renders with these arguments."""

    name: str
    arguments: tuple[str, ...]


OVERLAYS = (
    Overlay("dev", ("--values", str(CHART / "values-small.yaml"), "--set", "storage.kind=emptyDir")),
    Overlay("production", ("--set", "storage.kind=ephemeral,scaling.replicas=2,network.networkPolicy.enabled=true")),
)
COMPONENTS = {
    "autoscaler": ("scaling.autoscaling.enabled=true,storage.kind=emptyDir",),
    "network-policy": ("network.networkPolicy.enabled=true",),
    "http-route": ("network.httpRoute.enabled=true,network.httpRoute.parentRefs[0].name=gateway",),
    "pod-monitor": ("monitoring.podMonitor.enabled=true",),
}


def main() -> None:
    made = {TARGET / name: text for name, text in files().items()}
    there = set(TARGET.rglob("*.yaml")) if TARGET.exists() else set()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    left = sorted(there - made.keys())
    if "--check" in sys.argv[1:]:
        if stale or left:
            sys.exit(
                f"render_k8s: out of step: {', '.join(str(path.relative_to(ROOT)) for path in [*stale, *left])}; run `make k8s`"
            )
        return
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path])
    for path in left:
        path.unlink()


def files() -> dict[str, str]:
    """Everything under k8s/ by its name."""
    base = render()
    made = {f"base/{file_name(entry)}": dumped(entry) for entry in base}
    made["base/kustomization.yaml"] = dumped(kustomization(resources=sorted(file_name(entry) for entry in base)))
    for overlay in OVERLAYS:
        made |= {f"overlays/{overlay.name}/{name}": text for name, text in overlaid(overlay, base).items()}
    for name, arguments in COMPONENTS.items():
        made |= {f"components/{name}/{file}": text for file, text in component(arguments, base).items()}
    return made


def overlaid(overlay: Overlay, base: list[Manifest]) -> dict[str, str]:
    """What differs from the base is replaced, what the base lacks is added, what it has too much is deleted."""
    known = {identity(entry): entry for entry in base}
    wanted = {identity(entry): entry for entry in render(*overlay.arguments)}
    made: dict[str, str] = {}
    patches: list[Manifest] = []
    added = [entry for key, entry in wanted.items() if key not in known]
    made |= {file_name(entry): dumped(entry) for entry in added}
    for (kind, name), old in known.items():
        new = wanted.get((kind, name))
        if new != old:
            file = f"patch-{file_name(old)}" if new else f"without-{file_name(old)}"
            made[file] = dumped(changes(old, new) if new else gone(old))
            patches.append({"path": file, "target": {"kind": kind, "name": name}} if new else {"path": file})
    resources = ["../../base", *sorted(file_name(entry) for entry in added)]
    made["kustomization.yaml"] = dumped(kustomization(resources=resources, patches=patches))
    return made


def changes(old: Manifest, new: Manifest) -> list[Manifest]:
    """A JSON patch (RFC 6902) by whole top-level keys: merging would leave parts of the old behind."""
    return [{"op": "replace", "path": f"/{part}", "value": new[part]} for part in new if new[part] != old.get(part)]


def gone(old: Manifest) -> Manifest:
    head = {part: old[part] for part in ("apiVersion", "kind")}
    return {"$patch": "delete", **head, "metadata": {"name": old["metadata"]["name"]}}


def component(arguments: tuple[str, ...], base: list[Manifest]) -> dict[str, str]:
    """The objects that come with some values; an autoscaler also takes the fixed number of pods away."""
    known = {identity(entry) for entry in base}
    added = [entry for entry in render("--set", ",".join(arguments)) if identity(entry) not in known]
    made = {file_name(entry): dumped(entry) for entry in added}
    head: Manifest = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "resources": sorted(made)}
    if any(entry["kind"] == "HorizontalPodAutoscaler" for entry in added):
        head["patches"] = [
            {"target": {"kind": "Deployment", "name": NAME}, "patch": "- op: remove\n  path: /spec/replicas\n"}
        ]
    return {**made, "kustomization.yaml": dumped(head)}


def kustomization(**parts: object) -> Manifest:
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    return head | {name: part for name, part in parts.items() if part}


def render(*arguments: str) -> list[Manifest]:
    """What the chart makes, without its tests and Helm's own marks."""
    command = ["helm", "template", NAME, str(CHART), "--skip-tests", "--kube-version", "1.36.0", *arguments]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [without_marks(entry) for entry in yaml.safe_load_all(text) if entry]


def without_marks(entry: Manifest) -> Manifest:
    metadata = entry["metadata"]
    for part in ("labels", "annotations"):
        kept = {name: value for name, value in metadata.get(part, {}).items() if name not in OF_HELM}
        metadata.pop(part, None)
        if kept:
            metadata[part] = kept
    if entry.get("spec", {}).get("strategy", {}).get("rollingUpdate", "") is None:
        del entry["spec"]["strategy"]["rollingUpdate"]
    return entry


def identity(entry: Manifest) -> tuple[str, str]:
    return entry["kind"], entry["metadata"]["name"]


def file_name(entry: Manifest) -> str:
    return f"{entry['kind'].lower()}.yaml"


def dumped(entry: Manifest | list[Manifest]) -> str:
    text: str = yaml.safe_dump(entry, sort_keys=False, width=140, allow_unicode=True)
    return HEAD + text


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        sys.exit(f"render_k8s: {error.filename} is not on the PATH")
    except subprocess.CalledProcessError as error:
        sys.exit(f"render_k8s: helm: {error.stderr}")
