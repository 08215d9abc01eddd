"""Where a file goes, and what is known of the one that is there.

Beside FILE stand `FILE.json` (the side-car: what it is and where it came from), `FILE.lock`, and while it comes `FILE.TAG.partial`.
A file counts as there only if its side-car says so; an existing file alone may be half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.errors import NoRoom, SettingError
from service.fetch.looking import MAGIC, Facts
from service.fetch.partial import READ_BYTES, cannot_write
from service.fetch.progress import Progress
from service.fetch.sources import Source

SPARE_BYTES = 16 << 20
"""Room that is left on the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideCar:
    """What stands in `FILE.json`. `modified_ns` is the file's own time: with the size it tells that nobody has touched it since."""

    source: str
    identity: str
    size: int
    sha256: str
    modified_ns: int
    state: str = ""
    commit: str = ""
    fetched: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A place for one file."""

    path: Path

    @property
    def side_car(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def lock(self) -> Path:
        return self.path.with_name(f"{self.path.name}.lock")

    def partial(self, tag: str) -> Path:
        """Where the file grows."""
        return self.path.with_name(f"{self.path.name}.{tag}.partial")

    def forget_partials(self, but: Path | None = None) -> None:
        """Removes what was begun of other files or of other states of this one."""
        prefix, suffix = f"{self.path.name}.", ".partial"
        for entry in self.path.parent.iterdir():
            if entry.name.startswith(prefix) and entry.name.endswith(suffix) and entry != but:
                entry.unlink(missing_ok=True)

    def known(self, source: Source) -> SideCar | None:
        """What is known of the file, if it is the one that `source` names and nobody has touched it since."""
        told = self.told(source)
        return told if told is not None and self._untouched(told) else None

    def told(self, source: Source) -> SideCar | None:
        """What the side-car says, if it is about what `source` names."""
        try:
            content: Any = json.loads(self.side_car.read_bytes())
            told = SideCar(**content)
        except (OSError, ValueError, TypeError):
            return None
        right_sum = not source.sha256 or told.sha256 == source.sha256
        return told if told.identity == source.identity and right_sum else None

    def _untouched(self, told: SideCar) -> bool:
        try:
            found = self.path.stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (told.size, told.modified_ns)

    def holds(self, size: int, sha256: str, progress: Progress) -> bool:
        """Reads the file: whether it is a GGUF of this size and sha256."""
        try:
            if self.path.stat().st_size != size:
                return False
            with self.path.open("rb") as file:
                return file.read(len(MAGIC)) == MAGIC and _sum(self.path, progress) == sha256
        except OSError:
            return False

    def describe(self, file: Path, source: Source, facts: Facts, sha256: str) -> None:
        """Writes the side-car for `file`, which may not have its last name yet. Raises NoRoom."""
        found = file.stat()
        told = SideCar(
            source=source.shown,
            identity=source.identity,
            size=found.st_size,
            sha256=sha256,
            modified_ns=found.st_mtime_ns,
            state=facts.state,
            commit=facts.commit,
            fetched=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self.tell(told)

    def tell(self, told: SideCar) -> None:
        """Writes the side-car as a whole or not at all. Raises NoRoom."""
        fresh = self.side_car.with_name(f"{self.side_car.name}.new")
        try:
            with fresh.open("w", encoding="utf-8") as sink:
                json.dump(asdict(told), sink, indent=2)
                sink.flush()
                os.fsync(sink.fileno())
            fresh.replace(self.side_car)
        except OSError as error:
            raise cannot_write(self.side_car, error) from None

    def publish(self, file: Path, source: Source, facts: Facts, sha256: str) -> None:
        """Gives the whole, synced `file` its name. The side-car comes first: a kill between the two leaves one that fits no file yet."""
        self.describe(file, source, facts, sha256)
        try:
            file.replace(self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            raise cannot_write(self.path, error) from None
        self.forget_partials()


def find_targets(to: Path, sources: tuple[Source, ...]) -> tuple[Target, ...]:
    """A place for each file; makes the folder. Raises SettingError, NoRoom."""
    is_file = to.name.lower().endswith(".gguf") and not to.is_dir()
    if is_file and len(sources) > 1 and to.name != sources[0].file_name:
        raise SettingError("--to", str(to), f"a folder: the model is in {len(sources)} files")
    folder = to.parent if is_file else to
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NoRoom(f"cannot make the folder {folder}: {error.strerror}") from None
    if is_file and len(sources) == 1:
        return (Target(to),)
    return tuple(Target(folder / source.file_name) for source in sources)


def need_room(folder: Path, size: int, held: int) -> None:
    """Raises NoRoom where `size` bytes, of which `held` are there already, do not fit."""
    disk = os.statvfs(folder)
    free, need = disk.f_bavail * disk.f_frsize, max(0, size - held) + SPARE_BYTES
    if need > free:
        raise NoRoom(f"{folder} has {free:,} bytes free, and {need:,} are needed for the rest of {size:,}")


def sync_folder(folder: Path) -> None:
    """Makes sure of a name in a folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sum(path: Path, progress: Progress) -> str:
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
            done += len(chunk)
            progress.at(done)
    return digest.hexdigest()
