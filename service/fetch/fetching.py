"""The order of things: what is there and known, one process at a time, look, room, download, verify, publish."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import structlog

from service.errors import FetchError, NoRoom, SourceUnreachable
from service.fetch.asking import Asker, TryAgainError
from service.fetch.client import make_client
from service.fetch.download import Download, SourceChangedError, check
from service.fetch.lock import only_one
from service.fetch.looking import Facts, look
from service.fetch.partial import Partial, cannot_write
from service.fetch.patience import Patience
from service.fetch.progress import Progress
from service.fetch.sources import Source, at_commit, find_sources
from service.fetch.target import SideCar, Target, find_targets, need_room
from service.settings.fetching import FetchSettings

MOST_CHANGES = 5
"""How often a source may change while it is downloaded."""

Job = tuple[Source, Target, Facts]

log: structlog.stdlib.BoundLogger = structlog.get_logger("fetch")


def fetch(settings: FetchSettings) -> Path:
    """Leaves the model in its place; the path of its (first) file. Raises SettingError and FetchError."""
    if settings.to is None:
        raise TypeError("settings that were read have a place")
    sources = find_sources(settings)
    targets = find_targets(settings.to, sources)
    jobs = list(zip(sources, targets, strict=True))
    if all((settings.offline or source.pinned) and _is_there(source, target, settings) for source, target in jobs):
        return targets[0].path
    if settings.offline:
        raise SourceUnreachable(f"{sources[0].shown}: is not in {targets[0].path.parent}, and --offline asks nobody")
    with ExitStack() as held:
        client = held.enter_context(make_client(settings))
        try:
            held.enter_context(only_one(targets[0].lock, _Waiting(settings.log_every)))
        except NoRoom as error:
            # A volume that is mounted for reading only has no lock, and needs none for what is there.
            if not all(_is_there(source, target, settings) for source, target in jobs):
                raise
            log.warning("keeping what is there", reason=str(error))
            return targets[0].path
        Fetcher(Asker(client, settings), settings).fetch_all(jobs)
    return targets[0].path


def _is_there(source: Source, target: Target, settings: FetchSettings) -> bool:
    known = _known(source, target, settings)
    if known is not None:
        _say_there(source, target, known.size, known.sha256)
    return known is not None


def _known(source: Source, target: Target, settings: FetchSettings) -> SideCar | None:
    """What is known of the file. One that was touched since, as a copied volume's are, is read once."""
    told, known = target.told(source), target.known(source)
    if told is None or known is not None:
        return known
    progress = Progress("verifying", target.path.name, told.size, settings.log_every)
    if not target.holds(told.size, told.sha256, progress):
        return None
    known = replace(told, modified_ns=target.path.stat().st_mtime_ns)
    with suppress(NoRoom):
        target.tell(known)
    return known


def _say_there(source: Source, target: Target, size: int, sha256: str) -> None:
    log.info("the model is there", file=str(target.path), source=source.shown, size=size, sha256=sha256)


class _Waiting:
    """Says once in a while for whom we wait."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._next = 0.0

    def __call__(self, owner: str, seconds: float) -> None:
        if seconds >= self._next:
            log.info("waiting for another process that fetches this model", owner=owner, seconds=round(seconds))
            self._next = seconds + self._every


class Fetcher:
    """Fetches files one after another, alone on their folder."""

    def __init__(self, asker: Asker, settings: FetchSettings) -> None:
        self._asker = asker
        self._settings = settings
        self._commit = ""

    def fetch_all(self, jobs: Sequence[tuple[Source, Target]]) -> None:
        """The files of one model, whatever of them is there. All are looked at first: what is missing must fit as a whole."""
        missing = [job for job in (self._missing(source, target) for source, target in jobs) if job is not None]
        _need_room_for(missing)
        for source, target, facts in missing:
            self._bring(source, target, facts)

    def _missing(self, source: Source, target: Target) -> Job | None:
        """What must be downloaded for a file, if anything."""
        known = _known(source, target, self._settings)
        if known is not None and source.pinned:
            _say_there(source, target, known.size, known.sha256)
            return None
        # All parts of a split model come from one commit.
        source = at_commit(source, self._commit)
        facts = self._look_again(source, known) if known else self._look(source)
        if facts is None:
            return None
        self._commit = facts.commit
        if known is not None and _same(known, facts):
            _say_there(source, target, known.size, known.sha256)
            return None
        return None if self._adopted(source, target, facts) else (source, target, facts)

    def _look(self, source: Source) -> Facts:
        return self._patience(source).until_done(lambda: look(self._asker, source))

    def _patience(self, source: Source) -> Patience:
        return Patience(source.shown, self._settings.retries, self._settings.retry_delay)

    def _look_again(self, source: Source, known: SideCar) -> Facts | None:
        """Whether what we have is still what the source has; a source that does not say so now does not take it from us."""
        try:
            return look(self._asker, source)
        except (TryAgainError, FetchError) as error:
            log.warning("keeping what is there, its source says nothing", reason=str(error), sha256=known.sha256)
            return None

    def _adopted(self, source: Source, target: Target, facts: Facts) -> bool:
        """Takes over a file that was laid there by hand, when its bytes are the right ones."""
        if not facts.sha256 or not target.holds(facts.size, facts.sha256, self._progress("verifying", target, facts)):
            return False
        target.describe(target.path, source, facts, facts.sha256)
        target.forget_partials()
        _say_there(source, target, facts.size, facts.sha256)
        return True

    def _bring(self, source: Source, target: Target, facts: Facts) -> None:
        """Downloads and publishes, from the beginning again when the source changes meanwhile."""
        for _ in range(MOST_CHANGES):
            try:
                self._download(source, target, facts)
                return
            except SourceChangedError:
                log.warning("the source has another file now", source=source.shown)
                facts = self._look(source)
        raise SourceUnreachable(f"{source.shown}: changed {MOST_CHANGES} times while it was downloaded")

    def _download(self, source: Source, target: Target, facts: Facts) -> None:
        path = target.partial(facts.tag(source))
        _need_room_for([(source, target, facts)])
        try:
            with Partial(path) as partial:
                partial.take_up(self._progress("reading what came before", target, facts))
                self._complete(source, target, facts, partial)
            target.publish(path, source, facts, partial.sha256)
        except OSError as error:
            raise cannot_write(path, error) from None
        log.info(
            "fetched", file=str(target.path), source=source.shown, size=facts.size, sha256=partial.sha256,
            verified=bool(facts.sha256), commit=facts.commit or None,
        )  # fmt: skip
        if not facts.sha256:
            log.warning("nobody said which sha256 it must have; give --sha256 to be sure of it", sha256=partial.sha256)

    def _complete(self, source: Source, target: Target, facts: Facts, partial: Partial) -> None:
        """Fills the partial file and verifies it. Pieces that do not make the right whole are fetched once more in one go."""
        log.info(
            "fetching", file=target.path.name, source=source.shown, size=facts.size, resumed_at=partial.size,
            free=shutil.disk_usage(partial.path.parent).free,
        )  # fmt: skip
        download = Download(self._asker, source, facts, partial, self._progress("fetching", target, facts))
        download.run(self._patience(source))
        if facts.sha256 and partial.sha256 != facts.sha256 and download.resumed:
            log.warning("the pieces have another sha256; fetching it once more as a whole", sha256=partial.sha256)
            partial.restart()
            download.in_one_go().run(self._patience(source))
        try:
            check(source, facts, partial.sha256)
        except FetchError:
            partial.path.unlink(missing_ok=True)
            raise

    def _progress(self, event: str, target: Target, facts: Facts) -> Progress:
        return Progress(event, target.path.name, facts.size, self._settings.log_every)


def _need_room_for(jobs: Sequence[Job]) -> None:
    """Raises NoRoom where the files, less what has come of them, do not fit. What was begun of others goes first."""
    size = held = 0
    for source, target, facts in jobs:
        path = target.partial(facts.tag(source))
        try:
            target.forget_partials(but=path)
            held += path.stat().st_size if path.exists() else 0
        except OSError as error:
            raise cannot_write(path, error) from None
        size += facts.size
    if jobs:
        need_room(jobs[0][1].path.parent, size, held)


def _same(known: SideCar, facts: Facts) -> bool:
    """Whether the source still has what we have: by sha256 where it says one, else by size and state."""
    if facts.sha256:
        return known.sha256 == facts.sha256
    return bool(facts.state) and (known.size, known.state) == (facts.size, facts.state)
