"""The command: `make bench`, or `python -m bench --help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.client import BenchError
from bench.machine import machine
from bench.runner import Run, Series, compare
from bench.servers import Side
from bench.soak import EARLY, soak
from bench.table import table
from bench.workloads import WORKLOADS, Workload, chosen
from scripts.build_llama import cache_root

ROOT = Path(__file__).resolve().parent.parent
MODELS = (ROOT / "models" / "random-1b.Q4_K.gguf", ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf")
BUILD_VARIABLE = "LLAMA_SERVER_BUILD"
NAMES = [workload.name for workload in WORKLOADS]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m bench", description="Drives this service and llama-server in turn and compares them."
    )
    add = made.add_argument
    add(
        "--model",
        action="append",
        type=Path,
        metavar="FILE",
        help="a GGUF file; may be repeated (default: the random 1B one, SmolLM2)",
    )
    add(
        "--workloads",
        nargs="+",
        choices=NAMES,
        default=NAMES,
        metavar="NAME",
        help=f"which of {' '.join(NAMES)} (default: all)",
    )
    add("--pairs", type=int, default=2, help="how often each side runs a workload (default: 2)")
    add("--quick", action="store_true", help="less of everything; for trying, not for numbers")
    add("--seconds", type=float, default=120.0, help="how long W5 lasts (default: 120)")
    add(
        "--threads",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="for both servers (default: the CPUs of this process)",
    )
    add(
        "--service",
        type=shlex.split,
        default=[sys.executable, "-m", "service"],
        metavar="COMMAND",
        help="what stands for this service",
    )
    add(
        "--llama-server",
        type=Path,
        metavar="FILE",
        help=f"the other one (default: what ${BUILD_VARIABLE}, a script, or our own one builds)",
    )
    add(
        "--calm",
        type=float,
        default=50.0,
        metavar="PERCENT",
        help="wait for, and repeat without, that much CPU of other processes (default: 50)",
    )
    add("--json", type=Path, metavar="FILE", help="write every figure of every run there too")
    add(
        "--soak",
        type=int,
        metavar="N",
        help=f"no comparison: N short requests, more than {EARLY}, to this service; its memory must be flat",
    )
    return made


def main() -> None:
    arguments = parser().parse_args()
    try:
        asyncio.run(run(arguments))
    except (BenchError, subprocess.CalledProcessError) as error:
        sys.exit(f"bench: {error}")


async def run(arguments: argparse.Namespace) -> None:
    models = arguments.model or list(MODELS)
    if missing := [str(model) for model in models if not model.is_file()]:
        raise BenchError(f"no model at {', '.join(missing)} (make bench makes and fetches the default ones)")
    ours = Side("mistral-api", tuple(arguments.service))
    if arguments.soak:
        for model in models:
            soaked = await soak(ours, model, arguments.threads, arguments.soak)
            print(f"### {arguments.soak} short requests, {model.name}\n\n{soaked.table()}", flush=True)
            soaked.check()
        return
    theirs = Side("llama-server", (str(arguments.llama_server or built_server()),))
    series = Series(
        (ours, theirs), arguments.threads, arguments.pairs, arguments.quick, arguments.seconds, arguments.calm
    )
    print_machine(found := machine(theirs.command))
    runs: list[Run] = []
    for model in models:
        for workload in chosen(arguments.workloads):
            runs += (latest := await compare(series, model, workload))
            print(f"\n{shown(series, model, workload, latest)}\n", flush=True)
            if arguments.json:
                arguments.json.write_text(as_json(found, series, runs))


def built_server() -> Path:
    """The path of llama-server as a build script says it: ours prints it last; another one gets a folder and leaves it in bin/."""
    if script := os.environ.get(BUILD_VARIABLE):
        folder = cache_root() / "llama-server" / "given"
        subprocess.run([script, str(folder)], check=True)
        return folder / "bin" / "llama-server"
    command = [str(ROOT / "bench" / "build_llama_server.sh")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHON": sys.executable}
    ) as build:
        last = ""
        for line in build.stdout or ():
            print(line, end="", flush=True)
            last = line.strip()
    if build.returncode != 0:
        raise BenchError("llama-server could not be built")
    return Path(last)


def print_machine(found: dict[str, str]) -> None:
    for name, text in found.items():
        print(f"* {name}: {text}")
    print(flush=True)


def shown(series: Series, model: Path, workload: Workload, runs: Sequence[Run]) -> str:
    ours, theirs = (
        [run.figures for run in sorted(runs, key=lambda run: run.pair) if run.side == side.name]
        for side in series.sides
    )
    names = (series.sides[0].name, series.sides[1].name)
    return table(f"{workload.name}, {model.name}: {workload.text}", names, ours, theirs)


def as_json(found: dict[str, str], series: Series, runs: Sequence[Run]) -> str:
    listed = [
        {
            "model": run.model.name,
            "workload": run.workload,
            "pair": run.pair,
            "side": run.side,
            "figures": dict(run.figures),
        }
        for run in runs
    ]
    return (
        json.dumps({"machine": found, "threads": series.threads, "quick": series.quick, "runs": listed}, indent=1)
        + "\n"
    )


if __name__ == "__main__":
    main()
