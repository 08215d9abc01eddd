"""One file from a server that behaves: what is left behind, and what a second start does."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from service.errors import NoRoom, SourceRefused, SourceUnreachable, WrongContent
from tests.component.fetch.conftest import Fetching
from tests.support.file_server import Answer, FileServer, gguf, sha256

CONTENT = gguf(1_000_000)
FULL = os.statvfs_result((4096, 4096, 100, 100, 10, 1, 1, 1, 0, 255))


def test_a_file_is_there_whole_with_a_side_car_and_nothing_half(server: FileServer, fetching: Fetching) -> None:
    server.serve("/m/tiny.gguf", CONTENT)
    path = fetching(server.url("/m/tiny.gguf"))
    assert path == fetching.folder / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert fetching.names == {"tiny.gguf", "tiny.gguf.json", "tiny.gguf.lock"}
    told = json.loads((fetching.folder / "tiny.gguf.json").read_text())
    assert (told["source"], told["size"], told["sha256"]) == (server.url("/m/tiny.gguf"), len(CONTENT), sha256(CONTENT))
    assert server.sent < len(CONTENT) + 100


def test_a_path_that_ends_in_gguf_is_the_file_itself(server: FileServer, fetching: Fetching, tmp_path: Path) -> None:
    server.serve("/m/tiny.gguf", CONTENT)
    path = tmp_path / "deep" / "down" / "model.gguf"
    assert fetching(server.url("/m/tiny.gguf"), "--to", str(path)) == path
    assert path.read_bytes() == CONTENT


def test_a_pinned_file_that_is_there_asks_nobody(server: FileServer, fetching: Fetching) -> None:
    server.serve("/tiny.gguf", CONTENT)
    fetching(server.url("/tiny.gguf"), "--sha256", sha256(CONTENT))
    asked = len(server.requests)
    fetching(server.url("/tiny.gguf"), "--sha256", sha256(CONTENT))
    assert len(server.requests) == asked
    assert fetching.said("the model is there")


def test_an_unpinned_file_that_is_there_is_looked_at_but_not_downloaded(server: FileServer, fetching: Fetching) -> None:
    server.serve("/tiny.gguf", CONTENT)
    fetching(server.url("/tiny.gguf"))
    fetching(server.url("/tiny.gguf"))
    assert len(server.downloads) == 1


def test_an_unpinned_file_whose_source_changed_is_fetched_anew(server: FileServer, fetching: Fetching) -> None:
    server.serve("/tiny.gguf", CONTENT)
    fetching(server.url("/tiny.gguf"))
    other = gguf(len(CONTENT), seed=1)
    server.serve("/tiny.gguf", other)
    assert fetching(server.url("/tiny.gguf")).read_bytes() == other


@pytest.mark.parametrize("answer", [Answer(status=404), Answer(status=503), Answer(status=200, body=b"<html>login")])
def test_a_source_that_says_nothing_now_does_not_take_the_file_away(
    server: FileServer, fetching: Fetching, answer: Answer
) -> None:
    served = server.serve("/tiny.gguf", CONTENT)
    fetching(server.url("/tiny.gguf"))
    served.looks.append(answer)
    assert fetching(server.url("/tiny.gguf")).read_bytes() == CONTENT
    assert fetching.said("keeping what is there, its source says nothing")


def test_another_source_never_reuses_the_file(server: FileServer, fetching: Fetching) -> None:
    other = gguf(len(CONTENT), seed=1)
    server.serve("/a/tiny.gguf", CONTENT)
    server.serve("/b/tiny.gguf", other)
    fetching(server.url("/a/tiny.gguf"))
    assert fetching(server.url("/b/tiny.gguf")).read_bytes() == other


def test_another_query_is_another_source_and_another_signature_is_not(server: FileServer, fetching: Fetching) -> None:
    server.serve("/tiny.gguf", CONTENT)
    for query, downloads in (("file=1", 1), ("file=2", 2), ("X-Amz-Signature=1", 3), ("X-Amz-Signature=2", 3)):
        fetching(server.url(f"/tiny.gguf?{query}"))
        assert len(server.downloads) == downloads


def test_a_file_of_unknown_past_is_not_trusted(server: FileServer, fetching: Fetching) -> None:
    server.serve("/tiny.gguf", CONTENT)
    fetching.folder.mkdir()
    (fetching.folder / "tiny.gguf").write_bytes(CONTENT[:-1] + b"!")
    assert fetching(server.url("/tiny.gguf")).read_bytes() == CONTENT


def test_a_file_laid_there_by_hand_is_taken_over_when_its_sha256_is_right(
    server: FileServer, fetching: Fetching
) -> None:
    server.serve("/tiny.gguf", CONTENT)
    fetching.folder.mkdir()
    (fetching.folder / "tiny.gguf").write_bytes(CONTENT)
    fetching(server.url("/tiny.gguf"), "--sha256", sha256(CONTENT))
    assert not server.downloads
    fetching(server.url("/tiny.gguf"), "--sha256", sha256(CONTENT), "--offline")


def test_a_copied_volume_is_read_once_and_then_known(server: FileServer, fetching: Fetching) -> None:
    server.serve("/tiny.gguf", CONTENT)
    path = fetching(server.url("/tiny.gguf"))
    os.utime(path, (1, 1))
    fetching(server.url("/tiny.gguf"), "--offline")
    told = json.loads(path.with_name("tiny.gguf.json").read_text())
    assert told["modified_ns"] == path.stat().st_mtime_ns


def test_a_known_file_that_was_changed_is_fetched_again(server: FileServer, fetching: Fetching) -> None:
    server.serve("/tiny.gguf", CONTENT)
    path = fetching(server.url("/tiny.gguf"), "--sha256", sha256(CONTENT))
    path.write_bytes(CONTENT[:-1] + b"!")
    assert fetching(server.url("/tiny.gguf"), "--sha256", sha256(CONTENT)).read_bytes() == CONTENT


def test_offline_takes_what_is_known_and_else_fails(server: FileServer, fetching: Fetching) -> None:
    server.serve("/tiny.gguf", CONTENT)
    with pytest.raises(SourceUnreachable, match="--offline"):
        fetching(server.url("/tiny.gguf"), "--offline")
    fetching(server.url("/tiny.gguf"))
    asked = len(server.requests)
    fetching(server.url("/tiny.gguf"), "--offline")
    assert len(server.requests) == asked


def test_a_wrong_sha256_publishes_nothing_and_says_both(server: FileServer, fetching: Fetching) -> None:
    server.serve("/tiny.gguf", CONTENT)
    with pytest.raises(WrongContent) as caught:
        fetching(server.url("/tiny.gguf"), "--sha256", "0" * 64)
    assert sha256(CONTENT) in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert fetching.names == {"tiny.gguf.lock"}
    assert len(server.downloads) == 1


@pytest.mark.parametrize("content", [b"<html>Please log in", b"", b"GG"])
def test_what_is_no_gguf_is_found_out_before_it_is_downloaded(
    server: FileServer, fetching: Fetching, content: bytes
) -> None:
    server.serve("/tiny.gguf", content)
    with pytest.raises(WrongContent):
        fetching(server.url("/tiny.gguf"))
    assert not server.downloads


def test_too_little_room_is_said_with_both_numbers(
    server: FileServer, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/tiny.gguf", CONTENT)
    monkeypatch.setattr(os, "statvfs", lambda _path: FULL)
    with pytest.raises(NoRoom, match=r"40,960 bytes free, and 17,777,216 are needed"):
        fetching(server.url("/tiny.gguf"))
    assert not server.downloads


def test_a_changed_source_without_room_is_an_error_and_not_the_old_file(
    server: FileServer, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/tiny.gguf", CONTENT)
    fetching(server.url("/tiny.gguf"))
    server.serve("/tiny.gguf", gguf(len(CONTENT), seed=1))
    monkeypatch.setattr(os, "statvfs", lambda _path: FULL)
    with pytest.raises(NoRoom, match="are needed"):
        fetching(server.url("/tiny.gguf"))


def test_all_parts_of_a_split_model_must_fit_before_one_is_downloaded(
    server: FileServer, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in (1, 2):
        server.serve(f"/big-0000{part}-of-00002.gguf", gguf(50_000, seed=part))
    room = os.statvfs_result((4096, 4096, 10**6, 10**6, (16 << 20) // 4096 + 20, 1, 1, 1, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: room)
    with pytest.raises(NoRoom, match=r"16,877,216 are needed for the rest of 100,000"):
        fetching(server.url("/big-00001-of-00002.gguf"))
    assert not server.downloads


def test_a_full_disk_is_no_obstacle_where_the_model_is_there(
    server: FileServer, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/tiny.gguf", CONTENT)
    fetching(server.url("/tiny.gguf"))

    def full(_handle: int, _data: bytes, _offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    assert fetching(server.url("/tiny.gguf")).read_bytes() == CONTENT


def test_a_place_that_is_no_folder_is_named(server: FileServer, fetching: Fetching, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(NoRoom, match="models"):
        fetching(server.url("/tiny.gguf"))


def test_a_split_model_is_fetched_whole(server: FileServer, fetching: Fetching) -> None:
    parts = {f"big-0000{part}-of-00003.gguf": gguf(50_000, seed=part) for part in (1, 2, 3)}
    for name, content in parts.items():
        server.serve(f"/{name}", content)
    sums = ",".join(sha256(content) for content in parts.values())
    path = fetching(server.url("/big-00002-of-00003.gguf"), "--sha256", sums)
    assert path.name == "big-00001-of-00003.gguf"
    assert {name: (fetching.folder / name).read_bytes() for name in parts} == parts
    asked = len(server.requests)
    fetching(server.url("/big-00001-of-00003.gguf"), "--sha256", sums)
    assert len(server.requests) == asked


def test_a_split_model_with_a_missing_part_is_refused(server: FileServer, fetching: Fetching) -> None:
    server.serve("/big-00001-of-00002.gguf", CONTENT)
    with pytest.raises(SourceRefused, match=r"big-00002-of-00002\.gguf: answered 404"):
        fetching(server.url("/big-00001-of-00002.gguf"))


def test_what_was_begun_of_another_file_is_removed(server: FileServer, fetching: Fetching) -> None:
    server.serve("/tiny.gguf", CONTENT)
    fetching.folder.mkdir()
    (fetching.folder / "tiny.gguf.0123456789ab.partial").write_bytes(b"old")
    fetching(server.url("/tiny.gguf"))
    assert fetching.names == {"tiny.gguf", "tiny.gguf.json", "tiny.gguf.lock"}


def test_the_model_on_a_volume_for_reading_only_is_taken(
    server: FileServer, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/tiny.gguf", CONTENT)
    path = fetching(server.url("/tiny.gguf"))
    real = os.open

    def read_only(name: str, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_CREAT | os.O_RDWR | os.O_WRONLY):
            raise OSError(30, "Read-only file system")
        return real(name, flags, mode)

    monkeypatch.setattr(os, "open", read_only)
    assert fetching(server.url("/tiny.gguf")) == path
    path.unlink()
    with pytest.raises(NoRoom, match="Read-only file system"):
        fetching(server.url("/tiny.gguf"))
