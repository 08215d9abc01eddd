"""Which library of CPU kernels to use: the best that survives a trial.

ggml builds one library for each generation of CPUs and lets each say how well it fits (`ggml_backend_score`), from what CPUID
claims. CPUs, hypervisors and compilers have all made that claim false: then the process dies at the first product. So a child
process tries the best one first (trial.py), and the next one if it dies, hangs or computes wrong numbers.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.engine.llama import trial
from service.errors import SettingError

log = logging.getLogger("engine.llama")

TRIAL_SECONDS = 60.0
"""For a kernel that waits for ever. One that spins is ended after CPU_SECONDS of its own; under a small quota a good one takes long."""
PREFIX = "libggml-cpu"


@dataclass(frozen=True, slots=True)
class Variant:
    """One library of CPU kernels. `name` is what the user may ask for; `score` is ggml's, higher is better."""

    name: str
    path: Path
    score: int = 0


class NoVariantRuns(Exception):
    """Every library of CPU kernels was refused."""


def find_variants(folder: Path) -> list[Variant]:
    """The libraries of a folder by name. A build for one CPU has a single one, named `default`."""
    found = (path for path in folder.glob(f"{PREFIX}*.so") if path.is_file())
    return sorted((Variant(variant_name(path), path) for path in found), key=lambda variant: variant.name)


def variant_name(path: Path) -> str:
    return path.name.removeprefix(PREFIX).removesuffix(".so").removeprefix("-") or "default"


def choose_variant(registry: Path, folder: Path, wanted: str = "", timeout: float = TRIAL_SECONDS) -> Variant:
    """The library to open: the one asked for, else the best that passes its trial.

    `registry` is libggml's path. Raises SettingError if `wanted` is not there, NoVariantRuns if none passes.
    """
    variants = find_variants(folder)
    if wanted:
        return named_variant(variants, wanted)
    for variant in by_score(registry, variants, timeout):
        reason = refusal([*program("try", registry), str(variant.path)], timeout)
        if reason is None:
            return variant
        log.warning("CPU kernels %s refused: %s; trying the next best", variant.name, reason)
    raise NoVariantRuns(f"no CPU kernels in {folder} run on this machine")


def named_variant(variants: list[Variant], wanted: str) -> Variant:
    for variant in variants:
        if variant.name == wanted:
            return variant
    raise SettingError("--cpu-variant", wanted, f"one of {', '.join(variant.name for variant in variants) or '(none)'}")


def by_score(registry: Path, variants: list[Variant], timeout: float) -> list[Variant]:
    """Those that claim to fit this CPU, best first. One that dies while it is asked is left out."""
    waiting = {str(variant.path): variant for variant in variants}
    scored: list[Variant] = []
    while waiting:
        run = start([*program("score", registry), *waiting], timeout)
        asked = ""
        for line in run.output:
            path, _, score = line.rpartition(" ")
            if path in waiting:
                variant = waiting.pop(path)
                scored.append(Variant(variant.name, variant.path, int(score)))
            asked = line
        if run.failure is None:
            break
        if asked not in waiting:
            raise NoVariantRuns(f"the CPU kernels could not be asked what they fit: {run.failure}")
        log.warning("CPU kernels %s refused: %s while asked what they fit", waiting.pop(asked).name, run.failure)
    fitting = [variant for variant in scored if variant.score > 0]
    return sorted(fitting, key=lambda variant: variant.score, reverse=True)


@dataclass(frozen=True, slots=True)
class Run:
    """What a child wrote, and why it failed (None: it did not)."""

    output: list[str]
    failure: str | None


def program(mode: str, registry: Path) -> Iterator[str]:
    """The child's command. By path and without the working folder: it must not meet our modules or the caller's."""
    yield from (sys.executable, "-P", str(trial.__file__), mode, str(registry))


def refusal(command: list[str], timeout: float) -> str | None:
    """Why a trial failed and at what, or None."""
    run = start(command, timeout)
    if run.failure is None:
        return None
    return f"{run.failure} while {run.output[-1]}" if run.output else run.failure


def start(command: list[str], timeout: float) -> Run:
    try:
        child = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
    except subprocess.TimeoutExpired as expired:
        # What was written so far comes as bytes, whatever was asked for.
        return Run((expired.stdout or b"").decode(errors="replace").splitlines(), f"no answer in {timeout:g} s")
    return Run(child.stdout.splitlines(), failure(child.returncode, child.stderr))


def failure(code: int, errors: str) -> str | None:
    """A child's end in words: the signal's name, or the last thing it said."""
    if code == 0:
        return None
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    lines = errors.strip().splitlines()
    return lines[-1] if lines else f"exit code {code}"
