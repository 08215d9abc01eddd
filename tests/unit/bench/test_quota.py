from __future__ import annotations

from pathlib import Path

from bench.cpu_group import PERIOD, CpuGroup
from bench.quota import ARMS, CPUS, table
from bench.servers import Options


def test_the_table_compares_each_round_with_the_right_count_of_it() -> None:
    rates = dict(zip(ARMS, ([99.0, 48.0], [100.0, 50.0], [50.0, 10.0]), strict=True))
    lines = table(rates, {1: [0.5, 1.5, 0.7], CPUS: [2.0]}).splitlines()
    assert lines[2:5] == [
        "| automatic | 73.5 | 0.97 (0.96-0.99) |",
        "| --threads 1 | 75.0 | 1.00 (1.00-1.00) |",
        "| blind to the quota | 30.0 | 0.35 (0.20-0.50) |",
    ]
    assert lines[8] == "| to 1 CPU | 0.7 | 1.5 |"


def test_a_server_that_is_to_find_its_threads_is_not_told_any() -> None:
    assert "--threads" not in Options(Path("m.gguf"), threads=0, cells=512).arguments(1)
    assert "--threads" in Options(Path("m.gguf"), threads=1, cells=512).arguments(1)


def test_a_quota_is_written_as_its_version_has_it(tmp_path: Path) -> None:
    CpuGroup(2, tmp_path).limit(1.5)
    CpuGroup(1, tmp_path).limit(0.5)
    assert (tmp_path / "cpu.max").read_text() == f"150000 {PERIOD}"
    assert (tmp_path / "cpu.cfs_quota_us").read_text() == "50000"
