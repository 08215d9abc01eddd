"""docs/metrics.md. `python -m service.telemetry.metrics_page` prints it."""

from __future__ import annotations

import sys

from service.telemetry.catalog import Spec, every_spec

HEAD = """\
# Metrics

Made by `python -m service.telemetry.metrics_page`, which `make docs` runs; a test keeps this page in step, in both directions.

`GET /metrics` answers in Prometheus' text format at once, also while the engine is busy: nothing is asked of it, its last report is
shown. Nothing is reset by reading, so any number of scrapers may come. A counter counts from the start of the process. Histograms
have buckets for inference on CPUs, where a first token may take minutes.

Before the model is loaded the families about it are absent; `mistral_api_engine_state` and `mistral_api_model_load_progress` are there.
"""

SECTIONS = (
    ("Ours", "mistral_api_", ""),
    (
        "llama-server's",
        "llamacpp:",
        "The names and meanings of llama-server, so that its dashboards go on working. Only the two rates differ: there they are since"
        " the last scrape, here over the last minute. Two things are worth knowing: the text of a request is counted when it ends, and"
        " seconds of texts that ran at the same time add up.",
    ),
    ("The process", "process_", "What Prometheus' client libraries tell of every process."),
)


def document() -> str:
    """The page."""
    lines = [HEAD]
    for title, prefix, words in SECTIONS:
        lines.extend([f"## {title}", "", *([words, ""] if words else [])])
        lines.extend(["| Metric | Type | Labels | Meaning |", "|---|---|---|---|"])
        lines.extend(_row(spec) for spec in every_spec() if spec.name.startswith(prefix))
        lines.append("")
    return "\n".join(lines)


def _row(spec: Spec) -> str:
    labels = ", ".join(f"`{label}`" for label in spec.labels)
    text = spec.text
    if spec.bounds:
        text += f" Buckets: {', '.join(f'{bound:g}' for bound in spec.bounds)}."
    return f"| `{spec.name}` | {spec.kind} | {labels} | {text} |"


if __name__ == "__main__":
    sys.stdout.write(document())
