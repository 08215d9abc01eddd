"""A server of files, and the command's inside in this process, with its log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.fetch.fetching import fetch
from service.settings.fetching import FetchSettings
from service.telemetry.logs import logging_to
from tests.support.file_server import FileServer, file_server


class Fetching:
    """Fetches into a folder. `lines` is the log of all that was fetched; `text` is the same as it was written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.text = ""

    def __call__(self, source: str, *arguments: str, **environment: str) -> Path:
        stream = io.StringIO()
        quick = ["--to", str(self.folder), "--retry-delay", "0.001", "--timeout", "5"]
        with logging_to("json", "debug", stream):
            try:
                settings = FetchSettings.from_arguments(
                    [*quick, *arguments], environment | {"MISTRAL_API_FETCH_SOURCE": source}
                )
                return fetch(settings)
            finally:
                for handler in logging.getLogger().handlers:
                    handler.flush()
                self.text += stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    @property
    def names(self) -> set[str]:
        return {entry.name for entry in self.folder.iterdir()}


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


@pytest.fixture
def fetching(tmp_path: Path) -> Fetching:
    return Fetching(tmp_path / "models")
