"""The GPUs that llama.cpp found, and those of them that the options mean."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

from service.engine.llama.library import library_folder, library_path
from service.engine.llama.options import LlamaOptions
from service.errors import SettingError

GPU, INTEGRATED = 1, 2
"""ggml-backend.h, `enum ggml_backend_dev_type`."""
NO_DEVICE = "none"


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU. `pointer` is ggml's; `free` were its bytes when it was asked."""

    pointer: int
    name: str
    kind: int
    free: int


def chosen_devices(options: LlamaOptions) -> list[Device]:
    """Those that take layers, by llama.cpp's own rules. Raises SettingError for one that is not there."""
    found = found_devices()
    if options.devices:
        devices = [] if options.devices == (NO_DEVICE,) else [_named(found, name) for name in options.devices]
    else:
        # Integrated ones share the host's memory: they are taken only where there is no other.
        devices = [device for device in found if device.kind == GPU] or found
    if options.split_mode != "none" or not devices:
        return devices
    if options.main_gpu >= len(devices):
        raise SettingError("--main-gpu", str(options.main_gpu), f"a number below {len(devices)}")
    return [devices[options.main_gpu]]


def _named(found: Sequence[Device], wanted: str) -> Device:
    for device in found:
        if device.name.lower() == wanted.lower():
            return device
    raise SettingError("--device", wanted, f"one of {', '.join((*(device.name for device in found), NO_DEVICE))}")


def found_devices() -> list[Device]:
    """Every GPU that a backend of this process has."""
    ggml = _Ggml()
    pointers = [int(ggml.get(index)) for index in range(ggml.count())]
    return [
        Device(pointer, ggml.name(pointer).decode(), ggml.kind(pointer), ggml.free(pointer))
        for pointer in pointers
        if ggml.kind(pointer) in (GPU, INTEGRATED)
    ]


def free_bytes(device: Device) -> int:
    """What of its memory nobody has taken by now."""
    return _Ggml().free(device.pointer)


class _Ggml:
    """The few functions of ggml that tell of devices."""

    def __init__(self) -> None:
        library = ctypes.CDLL(str(library_path(library_folder(), "ggml")))
        size, pointer, text = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p

        def function(name: str, result: type | None, *arguments: type) -> ctypes._NamedFuncPointer:
            found: ctypes._NamedFuncPointer = getattr(library, name)
            found.restype, found.argtypes = result, arguments
            return found

        self.count = function("ggml_backend_dev_count", size)
        self.get = function("ggml_backend_dev_get", pointer, size)
        self.name = function("ggml_backend_dev_name", text, pointer)
        self.kind = function("ggml_backend_dev_type", ctypes.c_int, pointer)
        sizes = ctypes.POINTER(size)
        self._memory = function("ggml_backend_dev_memory", None, pointer, sizes, sizes)

    def free(self, device: int) -> int:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._memory(device, ctypes.byref(free), ctypes.byref(total))
        return free.value
