"""`mistral-api health [options]`: asks the service of this machine or container whether it is ready. For the image's HEALTHCHECK."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from service.settings import Settings

SECONDS = 4.0
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
FIRST_PROCESS = Path("/proc/1/cmdline")


class Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


def ask(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Nothing when GET /health/ready answers 200, else why not. Raises SettingError."""
    connection = connection_to(Settings.from_arguments(["--model", "-", *arguments], environment))
    try:
        connection.request("GET", "/health/ready")
        response = connection.getresponse()
        return (
            ""
            if response.status == http.HTTPStatus.OK
            else f"{response.status} {response.read(500).decode(errors='replace')}"
        )
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error}"
    finally:
        connection.close()


def connection_to(settings: Settings) -> http.client.HTTPConnection:
    """The first address that the service listens on."""
    host = settings.host.split(",")[0].strip()
    if host.endswith(".sock"):
        return Unix(host)
    return http.client.HTTPConnection(ANYWHERE.get(host, host), settings.port, timeout=SECONDS)


def served_arguments(file: Path = FIRST_PROCESS) -> list[str]:
    """The options that the container's service was started with; none where the first process is something else."""
    try:
        words = file.read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []
    for position, word in enumerate(words):
        if word.endswith("/mistral-api"):
            return words[position + 1 :]
    return []
