"""Compiles llama-cpp-python once and keeps the wheel.

Why not a plain `pip install`: the wheel must run at full speed on every CPU it meets, so it carries every kernel variant
of ggml (`GGML_CPU_ALL_VARIANTS`) as loadable libraries, and what is in the folder llama/ changes five things: AMX kernels get a
mended header (amx_tileconfig.h); attention works for a pool that many sequences share, where it would spend its time on cells of
others (attention.h, attention.patch); a row of a product is the same whatever else is in the batch, and Q4_1 weights are
unpacked once for several rows (products.patch); a thread that waits for the others lets whoever wants its CPU have it (barrier.patch);
and compilers that do not know ARM's SME leave out the two variants that have it (compilers.patch).

Usage: build_llama.py OUT_FOLDER. Leaves one wheel there. It is compiled when nothing in the cache (`$MISTRAL_API_CACHE`, default
`~/.cache/mistral-api`) has the same key: the locked versions, the options, the changes, the compiler and the machine. Six to
eight minutes on two cores. Only the standard library, pip and git (to apply the patches) are needed.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE.parent / "requirements"
CHANGES = HERE / "llama"
HEADER = CHANGES / "amx_tileconfig.h"
PARTS = CHANGES / "parts.cmake"
ATTENTION = CHANGES / "attention.h"
KERNELS = Path("vendor/llama.cpp/ggml/src/ggml-cpu")
PATCHES = tuple(CHANGES / f"{name}.patch" for name in ("attention", "products", "barrier", "compilers"))

# One wheel for every CPU: variants are chosen when the service starts (service/engine/llama).
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    # A wheel cannot hold links: with versions in the names there would be two files of each library, and a process that opens
    # libggml.so by path beside libllama.so's libggml.so.0 would have two registries of backends, one of them empty.
    "CMAKE_PLATFORM_NO_VERSIONED_SONAME": "ON",
    "GGML_NATIVE": "OFF",
    "GGML_BACKEND_DL": "ON",
    "GGML_CPU_ALL_VARIANTS": "ON",
    "LLAVA_BUILD": "OFF",
    "LLAMA_BUILD_TOOLS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_SERVER": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
}
KEPT_LIBRARIES = r"lib(llama|ggml|ggml-base|ggml-cpu[-\w]*)\.so"
# Of backends that CMAKE_ARGS asks for: not in the key, which has the arguments.
ACCELERATORS = r"libggml-(cuda|hip|vulkan|sycl|metal|blas)\.so"
NEEDED_LIBRARIES = ("libllama.so", "libggml.so", "libggml-base.so")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
PIN = re.compile(r"^\S+==\S+", re.MULTILINE)
EDGE = re.compile(r"^\s*\[(\d+)/(\d+)\]")


class BuildError(Exception):
    """llama.cpp could not be compiled, or what came out is not what the service needs."""


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: build_llama.py OUT_FOLDER")
    try:
        wheel = cached_wheel()
    except (BuildError, subprocess.CalledProcessError) as error:
        sys.exit(f"build_llama: {error}")
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(wheel, out / wheel.name)


def cached_wheel() -> Path:
    """The wheel for this machine and these options, compiled now if it is not in the cache."""
    folder = cache_root() / "llama" / build_key()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with alone(folder.with_suffix(".lock")):
        if wheels := sorted(folder.glob("*.whl")):
            print(f"llama.cpp: compiled earlier, kept in {folder}", flush=True)
            return wheels[0]
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            slim = Path(work) / "slim"
            slim.mkdir()
            name = repack(compile_wheel(Path(work)), slim).name
            slim.rename(folder)
        return folder / name


def cache_root() -> Path:
    if chosen := os.environ.get("MISTRAL_API_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mistral-api"


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Of two builds at once the second waits, and then finds the first one's wheel."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("llama.cpp: another process compiles it; waiting", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build_key() -> str:
    """Everything that the compiled bytes depend on, as one short hash. Wording (this file's text, comments of locks) is not in it."""
    parts = {
        "options": OPTIONS,
        "libraries": KEPT_LIBRARIES,
        "pins": [PIN.findall((REQUIREMENTS / name).read_text()) for name in ("llama.txt", "build.txt")],
        "changes": [path.read_text() for path in (HEADER, PARTS, ATTENTION, *PATCHES)],
        "compiler": compiler_version(),
        "machine": [platform.system(), platform.machine(), *platform.libc_ver()],
        "environment": [os.environ.get(name, "") for name in ("CMAKE_ARGS", "CFLAGS", "CXXFLAGS", "LDFLAGS")],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def compiler_version() -> str:
    command = [*shlex.split(os.environ.get("CXX", "c++")), "--version"]
    if shutil.which(command[0]) is None:
        raise BuildError(f"no C++ compiler: {command[0]} is not on the PATH (Debian: apt-get install g++)")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def compile_wheel(work: Path) -> Path:
    """Runs pip's build with our options; shows one line per few percent, and the end of the output if it fails."""
    tools = work / "tools"
    subprocess.run([*PIP, "install", "--quiet", "--target", str(tools), *locked("build.txt")], check=True)
    print("llama.cpp: fetching the source (75 MB), then compiling every CPU variant: six to eight minutes on two cores")
    sys.stdout.flush()
    environment = build_environment(tools)
    source = patched_source(work, environment)
    # Without --no-cache-dir pip would hand out a wheel that it once built with other options.
    command = [
        *PIP,
        "wheel",
        "--verbose",
        "--no-deps",
        "--no-build-isolation",
        "--no-cache-dir",
        "--wheel-dir",
        str(work),
    ]
    with subprocess.Popen(
        [*command, str(source)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as build:
        output = show_progress(build.stdout or ())
    if build.returncode != 0:
        raise BuildError("".join(output[-80:]) + "\nllama.cpp did not compile; the compiler's own words are above")
    return next(work.glob("llama_cpp_python-*.whl"))


def locked(name: str) -> list[str]:
    return ["--require-hashes", "--requirement", str(REQUIREMENTS / name)]


def patched_source(work: Path, environment: dict[str, str]) -> Path:
    """The locked source, unpacked in `work`, with our changes."""
    fetch = [
        *PIP,
        "download",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-binary",
        ":all:",
        *locked("llama.txt"),
    ]
    subprocess.run([*fetch, "--dest", str(work)], check=True, env=environment)
    archive = next(work.glob("llama_cpp_python-*.tar.gz"))
    shutil.unpack_archive(archive, work)  # its hash was checked
    source = work / archive.name.removesuffix(".tar.gz")
    shutil.copy(ATTENTION, source / KERNELS)
    if shutil.which("git") is None:
        raise BuildError("no git to apply patches with (Debian: apt-get install git)")
    # Git would look for the files in a repository around `work`, if there is one.
    subprocess.run(
        ["git", "apply", *map(str, PATCHES)],
        cwd=source,
        check=True,
        env={**environment, "GIT_CEILING_DIRECTORIES": str(work.parent)},
    )
    return source


def build_environment(tools: Path) -> dict[str, str]:
    """The variables that scikit-build-core reads, with its tools (cmake, ninja) from `tools`."""
    options = {**OPTIONS, "CMAKE_PROJECT_llama.cpp_INCLUDE": str(PARTS), "CMAKE_CXX_FLAGS": f'-include "{HEADER}"'}
    defines = shlex.join(f"-D{name}={value}" for name, value in options.items())
    return {
        **os.environ,
        "CMAKE_ARGS": f"{defines} {os.environ.get('CMAKE_ARGS', '')}",
        "CMAKE_GENERATOR": "Ninja",
        "PYTHONPATH": str(tools),
        "PATH": f"{tools / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }


def show_progress(lines: Iterable[str]) -> list[str]:
    """Echoes ninja's `[done/total]` as percent, each step of 5 once. Returns all lines."""
    started, shown, output = time.monotonic(), -1, []
    for line in lines:
        output.append(line)
        edge = EDGE.match(line)
        if edge and (percent := 100 * int(edge[1]) // int(edge[2]) // 5 * 5) > shown:
            shown = percent
            print(f"llama.cpp: {percent:3d} % compiled ({time.monotonic() - started:.0f} s)", flush=True)
    return output


def repack(wheel: Path, out: Path) -> Path:
    """Writes a wheel with each library once, all of them in llama_cpp/lib (the built one has three copies, in four folders)."""
    target = out / wheel.name
    records: dict[str, str] = {}
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as sink:
        record_name = next(name for name in source.namelist() if name.endswith(".dist-info/RECORD"))
        for entry in source.infolist():
            name = new_place(entry.filename)
            if name is None or name == record_name or name in records:
                continue
            data = source.read(entry)
            sink.writestr(zipfile.ZipInfo(name, entry.date_time), data, zipfile.ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            records[name] = f"{name},sha256={digest},{len(data)}"
        sink.writestr(record_name, "\n".join([*records.values(), f"{record_name},,"]) + "\n")
    missing = [name for name in NEEDED_LIBRARIES if f"llama_cpp/lib/{name}" not in records]
    if missing or not any("/libggml-cpu" in name for name in records):
        raise BuildError(f"{wheel.name} lacks {', '.join(missing) or 'every CPU library'}")
    return target


def new_place(name: str) -> str | None:
    """Where a file of the built wheel goes in ours; None leaves it out."""
    base = name.rsplit("/", 1)[-1]
    if ".so" in base or base.endswith(".a"):
        return f"llama_cpp/lib/{base}" if re.fullmatch(f"{KEPT_LIBRARIES}|{ACCELERATORS}", base) else None
    return name if base and name.startswith(("llama_cpp/", "llama_cpp_python-")) else None


if __name__ == "__main__":
    main()
