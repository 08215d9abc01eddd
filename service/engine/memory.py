"""What memory there is, and how long a context fits into it.

The sum, in bytes:   room - kept weights - fixed cost of a context - tokens x cost of a token >= 0

*Room* is what this process may still take: the least of every cgroup's limit above it and of the machine's free memory, page cache
not counted as used, a tenth left over. It is measured with the weights loaded, so what the kernels repacked is in it already.
*Kept weights* are pages of the mapped file: they count as free, but losing them means reading them again for each token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.engine.cgroups import CGROUPS, PROC, groups_of, read

GRAIN = 256
"""llama.cpp rounds a context up to this many tokens."""

LEAST_CONTEXT = 512
SPARE = 0.1
UNLIMITED = 1 << 60
MASK_BYTES = 4  # a value of the attention mask; 2 with flash attention, and a little for what lives beside it
CELL_BYTES = 80  # llama.cpp's books on one cell
MEMORY_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
    2: ("memory.max", "memory.current", ("inactive_file", "active_file")),
}


@dataclass(frozen=True, slots=True)
class CacheShape:
    """Sizes of a model that the cost of a context follows from. `key_bytes` and `value_bytes` are those of one head."""

    layers: int
    kv_heads: int
    heads: int
    key_bytes: float
    value_bytes: float
    embedding: int
    feed_forward: int
    vocabulary: int

    @property
    def cell_bytes(self) -> int:
        """Keys and values of one token."""
        return int(self.layers * self.kv_heads * (self.key_bytes + self.value_bytes))


@dataclass(frozen=True, slots=True)
class ContextCost:
    """Bytes that a context takes: once, and for each token of it."""

    fixed: int
    per_token: int

    def of(self, tokens: int) -> int:
        return self.fixed + tokens * self.per_token


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that this process may still take, and who says so."""

    free: int
    source: str
    spare: float = SPARE

    def usable(self, kept_weights: int) -> int:
        """What may be planned with: less a spare part, and less the weights' pages, which count as free; below 0 where they do not fit."""
        return int(self.free * (1 - self.spare)) - kept_weights


def context_cost(
    shape: CacheShape, ubatch: int, outputs: int, *, flash_attention: bool, share: float = 1.0
) -> ContextCost:
    """Cells, attention mask and llama.cpp's working memory for `ubatch` rows, of which `outputs` yield logits,
    in a place where that share of the layers keeps its cells.

    The working memory is an upper bound: llama.cpp reuses its tensors, so a few of the widest live at once.
    """
    per_row = MASK_BYTES if flash_attention else MASK_BYTES + 4 * shape.heads
    widest = 4 * ubatch * (2 * shape.feed_forward + 6 * shape.embedding)
    logits = 2 * 4 * outputs * shape.vocabulary
    return ContextCost(fixed=widest + logits, per_token=int(shape.cell_bytes * share) + per_row * ubatch + CELL_BYTES)


@dataclass(frozen=True, slots=True)
class ContextChoice:
    """`tokens` of context, the sum that led to it, and whether it is thought to fit."""

    tokens: int
    reason: str
    fits: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A memory that a context needs: what it costs there, the room, and the weights in it whose pages count as free."""

    cost: ContextCost
    room: Room
    kept: int = 0

    @property
    def usable(self) -> int:
        return self.room.usable(self.kept)

    @property
    def fitting(self) -> int:
        """The most tokens."""
        return (self.usable - self.cost.fixed) // max(1, self.cost.per_token) // GRAIN * GRAIN

    def reason(self, tokens: int) -> str:
        kept = f", {mebibytes(self.kept)} kept for weights" if self.kept else ""
        return (
            f"needs {mebibytes(self.cost.of(tokens))} ({self.cost.per_token / 1024:.1f} KiB a token), "
            f"{mebibytes(self.usable)} usable of {mebibytes(self.room.free)} free ({self.room.source}){kept}"
        )


def choose_context(wanted: int, trained: int, *places: Place) -> ContextChoice:
    """What was asked for as it is, else (`wanted` 0) the trained length as far as it fits into each of the places.

    An explicit length is only warned about: the sum is an upper bound and does not know swap or who else is about to free
    memory, and whoever names a length has a reason.
    """
    fitting = min(place.fitting for place in places)
    tokens = (
        round_up(wanted) if wanted > 0 else max(min(LEAST_CONTEXT, round_up(trained)), min(round_up(trained), fitting))
    )
    why = "as asked" if wanted > 0 else f"trained {trained}"
    reason = f"context {tokens} tokens ({why}): {'; '.join(place.reason(tokens) for place in places)}"
    return ContextChoice(tokens, reason, fits=all(place.cost.of(tokens) <= place.usable for place in places))


def round_up(tokens: int) -> int:
    return -(-tokens // GRAIN) * GRAIN


def mebibytes(count: int) -> str:
    return f"{count / (1 << 20):.0f} MiB"


def memory_room(proc: Path = PROC, cgroups: Path = CGROUPS) -> Room:
    """The least that any limit leaves. Without any (not Linux) there is no limit that we could know."""
    rooms = [Room(UNLIMITED, "no known limit"), *machine_room(proc), *cgroup_rooms(proc, cgroups)]
    return min(rooms, key=lambda room: room.free)


def machine_room(proc: Path) -> Iterator[Room]:
    available = field_of(proc / "meminfo", "MemAvailable:")
    if available is not None:
        yield Room(available * 1024, "the machine")


def anonymous_bytes(proc: Path = PROC) -> int:
    """What this process has in memory that no file backs; 0 where the system does not say."""
    return (field_of(proc / "self" / "status", "RssAnon:") or 0) * 1024


def cgroup_rooms(proc: Path, cgroups: Path) -> Iterator[Room]:
    """Every limited group that this process stands in, its own and those above it; cgroup v2 and v1."""
    for version, folder in groups_of("memory", proc, cgroups):
        limit_name, usage_name, cached = MEMORY_FILES[version]
        limit, usage = read(folder / limit_name).strip(), read(folder / usage_name).strip()
        if limit.isdigit() and usage.isdigit() and int(limit) < UNLIMITED:
            reclaimable = sum(field_of(folder / "memory.stat", name) or 0 for name in cached)
            yield Room(max(0, int(limit) - int(usage) + reclaimable), f"cgroup limit of {mebibytes(int(limit))}")


def field_of(file: Path, name: str) -> int | None:
    """The number after a name in a file of such lines."""
    for line in read(file).splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name:
            return int(words[1])
    return None
