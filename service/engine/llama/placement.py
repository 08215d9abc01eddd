"""What of a model lies on GPUs: llama.cpp's arithmetic of layers, and how many of them where the options leave it open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.engine import memory
from service.engine.llama.devices import Device, free_bytes
from service.engine.llama.options import LlamaOptions
from service.engine.memory import ContextCost, Place, Room

AUTO = -1
FITTED_CONTEXT = 4096
"""Tokens that must have room on the GPU before layers leave it for more of them: llama-server's `--fit-ctx`."""
SPARE_BYTES = 1 << 30
"""Left free on each GPU for what its kernels take beside the plan: llama-server's `--fit-target`."""


@dataclass(frozen=True, slots=True)
class Placement:
    """`layers` of a model's `total` lie on GPUs: the last ones, and of those the output, which has no cells, is the very last.

    `shares` are each device's part of them. `kept` bytes of the mapped file are read on the host for every token.
    """

    devices: tuple[Device, ...]
    shares: tuple[float, ...]
    layers: int
    total: int
    kv_offload: bool = True
    kept: int = 0

    @property
    def weights_on_host(self) -> float:
        """The share of the weights that the CPUs read. The embedding, of which they read a row a token, is not counted."""
        return 1 - self.layers / self.total

    @property
    def cells_on_gpus(self) -> float:
        """The share of the cells."""
        return max(0, self.layers - 1) / max(1, self.total - 1) if self.kv_offload else 0.0

    @property
    def split(self) -> bool:
        """Whether GPUs have a part, and the host has another."""
        return bool(self.devices) and self.cells_on_gpus < 1

    @property
    def spare_bytes(self) -> int:
        """Of the host's memory, for prefixes that leave the pool. None where the pool is on a GPU: each run of neighbouring cells is
        copied by itself in each layer: about 100 ms for 366 tokens of a model that computes them in 10."""
        return 0 if self.cells_on_gpus else max(0, memory.memory_room().usable(self.kept))


def placement_of(options: LlamaOptions, devices: Sequence[Device], layers: int, total: int) -> Placement:
    """`layers` below 0 are all."""
    count = (total if layers < 0 else min(layers, total)) if devices else 0
    return Placement(tuple(devices), shares_of(options, devices), count, total, options.kv_offload)


def shares_of(options: LlamaOptions, devices: Sequence[Device]) -> tuple[float, ...]:
    """As was asked for, else by free memory."""
    given = options.tensor_split[: len(devices)]
    parts = (
        [*given, *[0.0] * (len(devices) - len(given))] if any(given) else [max(1, device.free) for device in devices]
    )
    return tuple(part / sum(parts) for part in parts)


def places_of(placement: Placement, cost: Callable[[float], ContextCost]) -> list[Place]:
    """Where a context of this `cost`, by the share of cells, needs memory: the host, and each GPU in use."""
    on_gpus = placement.cells_on_gpus
    host = Place(cost(1 - on_gpus), memory.memory_room(), placement.kept)
    return [
        host,
        *(
            Place(cost(on_gpus * share), room_of(device.name, free_bytes(device)))
            for device, share in zip(placement.devices, placement.shares, strict=True)
        ),
    ]


def room_of(name: str, free: int) -> Room:
    return Room(free, name, min(1.0, SPARE_BYTES / max(1, free)))


def layers_within(
    devices: Sequence[Device], total: int, weights: int, cost: Callable[[float], ContextCost], tokens: int
) -> int:
    """How many layers the GPUs take with a context of so many tokens; what working memory costs is taken off each first."""
    working = cost(0.0).of(tokens)
    usable = sum(max(0, room_of(device.name, device.free).usable(0) - working) for device in devices)
    beside_each_other = weights + cost(1.0).of(tokens) - working
    return min(total, usable * total // max(1, beside_each_other))
