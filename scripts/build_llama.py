"""Compiles llama-cpp-python once and keeps the wheel.

Why not a plain `pip install`: the wheel must run at full speed on every CPU it meets, so it carries every kernel variant
of ggml (`GGML_CPU_ALL_VARIANTS`) as loadable libraries, and its AMX kernels need a mended header (amx_tileconfig.h).

Usage: build_llama.py OUT_FOLDER. Leaves one wheel in OUT_FOLDER and prints its path on the last line. The wheel is built
when nothing in the cache (`$MISTRAL_API_CACHE`, default `~/.cache/mistral-api`) has the same key: the locked version and hash, the
options, the header, the compiler and the machine. About eight minutes on two cores. Only the standard library is needed.
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE.parent / "requirements"
HEADER = HERE / "amx_tileconfig.h"

# One wheel for every CPU: variants are chosen when the service starts (service/engine/llama/library.py).
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "GGML_NATIVE": "OFF",
    "GGML_BACKEND_DL": "ON",
    "GGML_CPU_ALL_VARIANTS": "ON",
    "LLAVA_BUILD": "OFF",
    "LLAMA_BUILD_TOOLS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_SERVER": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
}
# What the binding opens by name, and what those libraries need by soname. The rest of the wheel is copies of these.
KEPT_LIBRARIES = re.compile(
    r"^(libllama\.so|libggml\.so|libggml\.so\.0|libggml-base\.so|libggml-base\.so\.0|libggml-cpu.*\.so)$"
)
EDGE = re.compile(r"\[(\d+)/(\d+)\]")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: build_llama.py OUT_FOLDER")
    wheel = cached_wheel()
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    target = out / wheel.name
    if not target.exists() or target.read_bytes() != wheel.read_bytes():
        shutil.copyfile(wheel, target)
    print(target)


def cached_wheel() -> Path:
    """The wheel for this machine and these options, built now if it is not in the cache."""
    folder = cache_root() / "llama" / build_key()
    wheels = sorted(folder.glob("*.whl"))
    if wheels:
        print(f"llama.cpp: compiled earlier, kept in {folder}", flush=True)
        return wheels[0]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        slim = Path(work) / "slim"
        slim.mkdir()
        wheel = repack(compile_wheel(Path(work)), slim)
        if not folder.exists():
            slim.rename(folder)
        return folder / wheel.name


def cache_root() -> Path:
    chosen = os.environ.get("MISTRAL_API_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(chosen) if chosen else Path(base) / "mistral-api"


def build_key() -> str:
    """Everything that the compiled bytes depend on, as one short hash."""
    compiler = subprocess.run([os.environ.get("CXX", "c++"), "--version"], capture_output=True, text=True, check=True)
    parts = [
        (REQUIREMENTS / "llama.txt").read_text(),
        (REQUIREMENTS / "build.txt").read_text(),
        HEADER.read_text(),
        Path(__file__).read_text(),
        compiler.stdout,
        platform.machine(),
        os.environ.get("CMAKE_ARGS", ""),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def compile_wheel(work: Path) -> Path:
    """Runs pip's build with our options; shows one line per few percent, the whole output only if it fails."""
    tools = work / "tools"
    pip("install", "--quiet", "--target", str(tools), "--require-hashes", "-r", str(REQUIREMENTS / "build.txt"))
    options = " ".join(f"-D{name}={value}" for name, value in OPTIONS.items())
    environment = {
        **os.environ,
        "CMAKE_ARGS": f"{options} -DCMAKE_CXX_FLAGS='-include {HEADER}' {os.environ.get('CMAKE_ARGS', '')}",
        "PYTHONPATH": str(tools),
        "PATH": f"{tools / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "CMAKE_GENERATOR": "Ninja",
    }
    command = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
    command += ["--no-binary", ":all:", "--require-hashes", "-r", str(REQUIREMENTS / "llama.txt"), "-w", str(work)]
    print(
        "llama.cpp: fetching the source (75 MB), then compiling every CPU variant: about eight minutes on two cores",
        flush=True,
    )
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as build:
        assert build.stdout is not None
        output = show_progress(build.stdout)
    if build.returncode != 0:
        sys.exit("".join(output[-80:]) + "\nllama.cpp did not compile; the compiler's own words are above")
    return next(work.glob("llama_cpp_python-*.whl"))


def show_progress(lines: object) -> list[str]:
    """Echoes ninja's `[done/total]` as percent, each step of 5 once. Returns all lines."""
    started, shown, output = time.monotonic(), -1, []
    for line in lines:  # type: ignore[attr-defined]
        output.append(line)
        edge = EDGE.search(line)
        if edge and (percent := 100 * int(edge[1]) // int(edge[2]) // 5 * 5) > shown:
            shown = percent
            print(f"llama.cpp: {percent:3d} % compiled ({time.monotonic() - started:.0f} s)", flush=True)
    return output


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)


def repack(wheel: Path, out: Path) -> Path:
    """Writes a wheel with each library once, all of them in llama_cpp/lib (the built one has three copies, in four folders)."""
    target = out / wheel.name
    records: list[str] = []
    written: set[str] = set()
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as sink:
        record_name = next(name for name in source.namelist() if name.endswith(".dist-info/RECORD"))
        for entry in source.infolist():
            name = new_place(entry.filename)
            if name is None or name == record_name or name in written:
                continue
            written.add(name)
            data = source.read(entry)
            sink.writestr(zipfile.ZipInfo(name, entry.date_time), data, zipfile.ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            records.append(f"{name},sha256={digest},{len(data)}")
        sink.writestr(record_name, "\n".join([*records, f"{record_name},,"]) + "\n")
    return target


def new_place(name: str) -> str | None:
    """Where a file of the built wheel goes in ours; None leaves it out."""
    if name.endswith("/"):
        return None
    base = name.rsplit("/", 1)[-1]
    if ".so" in base or base.endswith(".a"):
        return f"llama_cpp/lib/{base}" if KEPT_LIBRARIES.match(base) else None
    return name if name.startswith(("llama_cpp/", "llama_cpp_python-")) else None


if __name__ == "__main__":
    main()
