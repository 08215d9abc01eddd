"""How much memory there is and how long a context fits into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.engine.memory import (
    CacheShape,
    ContextCost,
    Place,
    Room,
    anonymous_bytes,
    choose_context,
    context_cost,
    memory_room,
)

MIB = 1 << 20
MEMINFO = "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:    8192000 kB\n"
LLAMA_8B = CacheShape(
    layers=32,
    kv_heads=8,
    heads=32,
    key_bytes=256,
    value_bytes=256,
    embedding=4096,
    feed_forward=14336,
    vocabulary=128_256,
)


class Machine:
    """A /proc and a /sys/fs/cgroup of our own."""

    def __init__(self, root: Path) -> None:
        self.proc, self.cgroups = root / "proc", root / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        self.cgroups.mkdir()
        (self.proc / "meminfo").write_text(MEMINFO)

    def group(self, path: str, files: dict[str, str]) -> None:
        folder = self.cgroups / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)

    def in_group(self, text: str) -> None:
        (self.proc / "self" / "cgroup").write_text(text)

    def room(self) -> Room:
        return memory_room(self.proc, self.cgroups)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def v2(limit: str, used: int, cached: int = 0) -> dict[str, str]:
    return {
        "memory.max": limit + "\n",
        "memory.current": f"{used}\n",
        "memory.stat": f"anon 5\ninactive_file {cached}\nactive_file {cached}\n",
    }


def test_without_groups_the_machine_is_the_limit(machine: Machine) -> None:
    assert machine.room() == Room(8192000 * 1024, "the machine")


def test_where_nothing_is_known_there_is_no_limit(tmp_path: Path) -> None:
    assert memory_room(tmp_path, tmp_path) == Room(1 << 60, "no known limit")


def test_a_group_in_its_own_namespace_limits(machine: Machine) -> None:
    machine.in_group("0::/\n")
    machine.group("", v2(str(1000 * MIB), 300 * MIB, cached=50 * MIB))
    assert machine.room() == Room(800 * MIB, "cgroup limit of 1000 MiB")


def test_the_tightest_group_above_counts(machine: Machine) -> None:
    machine.in_group("0::/kube/pod/box\n")
    machine.group("kube", v2(str(5000 * MIB), 4900 * MIB))
    machine.group("kube/pod", v2(str(1000 * MIB), 100 * MIB))
    machine.group("kube/pod/box", v2("max", 100 * MIB))
    assert machine.room() == Room(100 * MIB, "cgroup limit of 5000 MiB")


def test_a_path_of_the_host_falls_back_to_the_root(machine: Machine) -> None:
    machine.in_group("0::/../../system.slice/docker-12.scope\n")
    machine.group("", v2(str(700 * MIB), 200 * MIB))
    assert machine.room().free == 500 * MIB


def test_groups_of_the_first_version_limit(machine: Machine) -> None:
    machine.in_group("5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n")
    machine.group("memory", {"memory.limit_in_bytes": "9223372036854771712", "memory.usage_in_bytes": "5"})
    stat = f"inactive_file 7\ntotal_inactive_file {10 * MIB}\ntotal_active_file {20 * MIB}\n"
    own = {"memory.limit_in_bytes": str(600 * MIB), "memory.usage_in_bytes": str(100 * MIB), "memory.stat": stat}
    machine.group("memory/docker/1", own)
    assert machine.room() == Room(530 * MIB, "cgroup limit of 600 MiB")


def test_a_group_over_its_limit_leaves_nothing(machine: Machine) -> None:
    machine.in_group("0::/\n")
    machine.group("", v2(str(100 * MIB), 120 * MIB))
    assert machine.room().free == 0


def test_anonymous_memory_is_read(machine: Machine) -> None:
    assert anonymous_bytes(machine.proc) == 0
    (machine.proc / "self" / "status").write_text("Name:\tx\nVmRSS:\t 900 kB\nRssAnon:\t     123 kB\n")
    assert anonymous_bytes(machine.proc) == 123 * 1024


def test_a_token_costs_its_cells_and_its_part_of_the_mask() -> None:
    cost = context_cost(LLAMA_8B, ubatch=512, outputs=64, flash_attention=True)
    assert 128 * 1024 < cost.per_token < 133 * 1024
    without = context_cost(LLAMA_8B, ubatch=512, outputs=64, flash_attention=False)
    assert without.per_token - cost.per_token == 512 * 32 * 4


COST = ContextCost(fixed=10 * MIB, per_token=1024)


@pytest.mark.parametrize(
    ("trained", "free", "kept", "tokens", "fits"),
    [
        (4096, 1000, 0, 4096, True),
        (4000, 1000, 0, 4096, True),
        (1 << 20, 100, 0, 81920, True),
        (1 << 20, 100, 40, 40960, True),
        (4096, 1, 0, 512, False),
        (300, 1, 0, 512, False),
        (100, 1, 0, 256, False),
    ],
)
def test_the_context_is_the_trained_length_as_far_as_it_fits(
    trained: int, free: int, kept: int, tokens: int, fits: bool
) -> None:
    choice = choose_context(0, trained, Place(COST, Room(free * MIB, "a test"), kept * MIB))
    assert (choice.tokens, choice.fits) == (tokens, fits)
    assert f"context {tokens} tokens (trained {trained})" in choice.reason
    assert "a test" in choice.reason


def test_what_is_usable_leaves_the_weights_and_a_spare_part() -> None:
    assert Room(100 * MIB, "a test").usable(40 * MIB) == 50 * MIB
    assert Room(100 * MIB, "a test").usable(95 * MIB) < 0


@pytest.mark.parametrize(
    ("wanted", "tokens", "fits"), [(1000, 1024, True), (5000, 5120, True), (1 << 20, 1 << 20, False)]
)
def test_a_context_asked_for_is_taken_even_if_it_may_not_fit(wanted: int, tokens: int, fits: bool) -> None:
    choice = choose_context(wanted, 4096, Place(COST, Room(100 * MIB, "a test")))
    assert (choice.tokens, choice.fits) == (tokens, fits)
    assert f"context {tokens} tokens (as asked)" in choice.reason


def test_what_is_chosen_never_costs_more_than_there_is() -> None:
    for free in range(20, 2000, 7):
        choice = choose_context(0, 1 << 20, Place(COST, Room(free * MIB, "a test"), 5 * MIB))
        if choice.fits:
            assert COST.of(choice.tokens) + 5 * MIB <= free * MIB
            assert choice.tokens % 256 == 0
