"""Opens llama.cpp for this process: the log, GPU backends that are there, and the CPU kernels that passed their trial."""

from __future__ import annotations

import ctypes
import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from llama_cpp import llama_cpp as native

from service.engine.llama import logs
from service.engine.llama.variants import choose_variant

log = logging.getLogger("engine.llama")

# How a build may name a library. The versioned name comes first: where it is there, libllama was linked to it, and the same
# file opened under its plain name would be a second library with a registry of its own, an empty one.
NAMES = ("lib{}.so.0", "lib{}.0.dylib", "lib{}.so", "lib{}.dylib")
# ggml-backend-reg.cpp, `ggml_backend_load_all_from_path`, without the CPU and without those that reach over the network.
ACCELERATORS = (
    "blas", "zendnn", "cann", "cuda", "hip", "metal", "sycl", "vulkan", "opencl", "hexagon", "musa", "openvino",
)  # fmt: skip
BUILT_IN = "built-in"


@dataclass(frozen=True, slots=True)
class Library:
    """What was opened: llama.cpp's version in llama-server's manner of a build, and the name of the CPU kernels."""

    build: str
    cpu_variant: str


@dataclass(slots=True)
class _Opened:
    library: Library | None = None


# Backends stay registered until the process ends, so this is a fact about the process.
_opened = _Opened()
_lock = threading.Lock()


def open_library(cpu_variant: str = "", cpu_variants_dir: Path | None = None) -> Library:
    """Opens the backends once for the process; later calls answer what was opened.

    Raises SettingError for an unknown variant, NoVariantRuns if no kernels run here.
    """
    with _lock:
        if _opened.library is None:
            _opened.library = _open(cpu_variant, cpu_variants_dir)
        elif cpu_variant not in ("", _opened.library.cpu_variant):
            log.warning("CPU kernels %s are open already; %s is ignored", _opened.library.cpu_variant, cpu_variant)
        return _opened.library


def _open(cpu_variant: str, cpu_variants_dir: Path | None) -> Library:
    logs.install()
    folder = library_folder()
    path = library_path(folder, "ggml")
    registry = ctypes.CDLL(str(path))
    registry.ggml_backend_reg_count.restype = ctypes.c_size_t
    registry.ggml_backend_load.restype = ctypes.c_void_p
    variant = BUILT_IN
    if registry.ggml_backend_reg_count() == 0:
        for accelerator in accelerators(folder):
            registry.ggml_backend_load(str(accelerator).encode())
        chosen = choose_variant(path, cpu_variants_dir or folder, cpu_variant)
        if not registry.ggml_backend_load(str(chosen.path).encode()):
            raise OSError(f"ggml refused the CPU kernels {chosen.path}")
        variant = chosen.name
    native.llama_backend_init()
    library = Library(build_name(folder), variant)
    log.info("llama.cpp %s, CPU kernels %s", library.build, library.cpu_variant)
    return library


def library_folder() -> Path:
    """Where the binding found llama.cpp."""
    return Path(native._lib._name).parent  # noqa: SLF001 - the binding has no public name for it


def library_path(folder: Path, name: str) -> Path:
    """The file of ggml (the registry of backends) or ggml-base."""
    for pattern in NAMES:
        if (folder / pattern.format(name)).exists():
            return folder / pattern.format(name)
    raise FileNotFoundError(f"no lib{name} in {folder}")


def accelerators(folder: Path) -> list[Path]:
    """Libraries of GPU backends that somebody has put beside llama.cpp."""
    return [path for name in ACCELERATORS for path in sorted(folder.glob(f"libggml-{name}*.so"))]


def build_name(folder: Path) -> str:
    """`b<version>-<commit>`. The library does not know llama-server's build number; its version stands in for it."""
    version = native.llama_version().decode().removesuffix("-dev")
    commit = ctypes.CDLL(str(library_path(folder, "ggml-base"))).ggml_commit
    commit.restype = ctypes.c_char_p
    return f"b{version}-{commit().decode().removesuffix('-dirty')}"
