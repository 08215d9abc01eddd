"""Writes k8s/ from the chart. Usage: render_k8s.py [--check]   (needs helm on the PATH)

    base/                 the chart with its default values: every object that a plain install makes
    overlays/dev          the same with values-small.yaml; overlays/production: two pods, each with a disk of its own
    components/           what is optional: include it from an overlay, each beside any other

The settings are a configMapGenerator: their name has a hash, so pods roll when an overlay merges other settings into them.

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
    Overlay("production", ("--set", "storage.kind=ephemeral,scaling.replicas=2")),
)


@dataclass(frozen=True)
class Component:
    """What some values add: new objects of these kinds, and what becomes different in objects of the base."""

    name: str
    arguments: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """JSON pointers into the Deployment: each is as the chart renders it, or goes."""
    without: tuple[str, ...] = ()
    """Kinds of the base that go, where an overlay has not removed them already."""


COMPONENTS = (
    # Several pods cannot share the base's volume: each gets one of its own.
    Component(
        "autoscaler",
        ("--set", "scaling.autoscaling.enabled=true,scaling.autoscaling.minReplicas=2,storage.kind=ephemeral"),
        kinds=("HorizontalPodAutoscaler",),
        changed=("/spec/replicas", "/spec/strategy", "/spec/template/spec/volumes/0"),
        without=("PersistentVolumeClaim",),
    ),
    Component(
        "gpu",
        ("--values", str(CHART / "values-gpu.yaml")),
        changed=(
            "/spec/strategy",
            "/spec/template/spec/runtimeClassName",
            "/spec/template/spec/tolerations",
            "/spec/template/spec/containers/0/resources/limits/nvidia.com~1gpu",
        ),
    ),
    Component(
        "http-route",
        ("--set", "network.httpRoute.enabled=true,network.httpRoute.parentRefs[0].name=gateway"),
        kinds=("HTTPRoute",),
    ),
    Component("ingress", ("--set", "network.ingress.enabled=true"), kinds=("Ingress",)),
    Component("network-policy", ("--set", "network.networkPolicy.enabled=true"), kinds=("NetworkPolicy",)),
    Component("pod-monitor", ("--set", "monitoring.podMonitor.enabled=true"), kinds=("PodMonitor",)),
    Component("service-monitor", ("--set", "monitoring.serviceMonitor.enabled=true"), kinds=("ServiceMonitor",)),
)


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
    shown = [entry for entry in base if entry["kind"] != "ConfigMap"]
    made = {f"base/{file_name(entry)}": dumped(entry) for entry in shown}
    made["base/kustomization.yaml"] = dumped(
        kustomization(resources=sorted(file_name(entry) for entry in shown), configMapGenerator=generator(base))
    )
    for overlay in OVERLAYS:
        made |= {f"overlays/{overlay.name}/{name}": text for name, text in overlaid(overlay, base).items()}
    for component in COMPONENTS:
        made |= {f"components/{component.name}/{name}": text for name, text in optional(component, base).items()}
    return made


def overlaid(overlay: Overlay, base: list[Manifest]) -> dict[str, str]:
    """What differs from the base is replaced, what the base lacks is added, what it has too much is deleted."""
    known = {identity(entry): entry for entry in base if entry["kind"] != "ConfigMap"}
    whole = render(*overlay.arguments)
    wanted = {identity(entry): entry for entry in whole if entry["kind"] != "ConfigMap"}
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
    settings = generator(whole, base, "replace")
    made["kustomization.yaml"] = dumped(
        kustomization(resources=resources, patches=patches, configMapGenerator=settings)
    )
    return made


def changes(old: Manifest, new: Manifest) -> list[Manifest]:
    """A JSON patch (RFC 6902) by whole top-level keys: merging would leave parts of the old behind."""
    return [{"op": "replace", "path": f"/{part}", "value": new[part]} for part in new if new[part] != old.get(part)]


def gone(old: Manifest) -> Manifest:
    head = {part: old[part] for part in ("apiVersion", "kind")}
    return {"$patch": "delete", **head, "metadata": {"name": old["metadata"]["name"]}}


def optional(component: Component, base: list[Manifest]) -> dict[str, str]:
    """A component: its objects, and patches for what it changes."""
    wanted = render(*component.arguments)
    made = {file_name(entry): dumped(entry) for entry in wanted if entry["kind"] in component.kinds}
    old, new = (next(entry for entry in side if entry["kind"] == "Deployment") for side in (base, wanted))
    steps = [step(pointer, old, new) for pointer in component.changed]
    patches = [{"target": {"kind": "Deployment", "name": NAME}, "patch": plain(steps)}] if steps else []
    # With a target, a patch for what an overlay has removed already changes nothing.
    patches += [
        {"target": {"kind": entry["kind"], "name": entry["metadata"]["name"]}, "patch": plain(gone(entry))}
        for entry in base
        if entry["kind"] in component.without
    ]
    head: Manifest = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
    parts = {"resources": sorted(made), "patches": patches, "configMapGenerator": generator(wanted, base, "merge")}
    return {**made, "kustomization.yaml": dumped(head | {name: part for name, part in parts.items() if part})}


def step(pointer: str, old: Manifest, new: Manifest) -> Manifest:
    """What brings one place (RFC 6901) of `old` to its state in `new`, as a step of a JSON patch."""
    value = at(new, pointer)
    if value is None:
        return {"op": "remove", "path": pointer}
    return {"op": "add" if at(old, pointer) is None else "replace", "path": pointer, "value": value}


def at(entry: object, pointer: str) -> object:
    """What stands there, or None."""
    for key in pointer.removeprefix("/").split("/"):
        if isinstance(entry, list):
            entry = entry[int(key)]
        elif isinstance(entry, dict):
            entry = entry.get(key.replace("~1", "/").replace("~0", "~"))
    return entry


def generator(wanted: list[Manifest], base: list[Manifest] | None = None, behavior: str = "") -> list[Manifest]:
    """The settings for kustomize: all of them, or against a base those that differ, if any."""
    made = []
    for entry in wanted:
        if entry["kind"] != "ConfigMap":
            continue
        data = entry["data"]
        if base is not None:
            known = next(other["data"] for other in base if identity(other) == identity(entry))
            data = {name: value for name, value in data.items() if behavior == "replace" or known.get(name) != value}
            if data == known or not data:
                continue
        labels = {"options": {"labels": entry["metadata"]["labels"]}} if base is None else {"behavior": behavior}
        literals = [f"{name}={value}" for name, value in data.items()]
        made.append({"name": entry["metadata"]["name"], **labels, "literals": literals})
    return made


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
    if entry["kind"] == "Deployment":
        # The hash in the name of the settings does it.
        del entry["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
    return entry


def identity(entry: Manifest) -> tuple[str, str]:
    return entry["kind"], entry["metadata"]["name"]


def file_name(entry: Manifest) -> str:
    return f"{entry['kind'].lower()}.yaml"


def dumped(entry: Manifest | list[Manifest]) -> str:
    return HEAD + plain(entry)


def plain(entry: Manifest | list[Manifest]) -> str:
    text: str = yaml.dump(entry, Dumper=Readable, sort_keys=False, width=140, allow_unicode=True)
    return text


class Readable(yaml.SafeDumper):
    """Texts of several lines are shown as such."""


Readable.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        sys.exit(f"render_k8s: {error.filename} is not on the PATH")
    except subprocess.CalledProcessError as error:
        sys.exit(f"render_k8s: helm: {error.stderr}")
