"""A real HTTP server of files that can be told to misbehave, request by request."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROBE = "bytes=0-3"
PIECE = 16 * 1024
HOLD_SECONDS = 900.0


def gguf(size: int, seed: int = 0) -> bytes:
    """Bytes that begin like a GGUF file and do not repeat."""
    blocks = b"".join(hashlib.sha256(f"{seed}.{number}".encode()).digest() for number in range(size // 32 + 1))
    return (b"GGUF" + blocks)[:size]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How one request is answered. Without anything: rightly.

    `cut`: closes the connection after so many bytes of the body. `hold`: waits for it after `cut` bytes, and then goes on.
    `pause`: seconds before each piece. `whole`: ignores Range.
    `lie`: sends the beginning under the header of the part that was asked for. `shifted`: another part than asked for.
    `extra`: more bytes than the file has, without Content-Length.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    hold: threading.Event | None = None
    pause: float = 0.0
    whole: bool = False
    lie: bool = False
    shifted: bool = False
    extra: bytes = b""


@dataclass(kw_only=True)
class Served:
    """A file. The first of `answers` is for the next download of it, of `looks` for the next look at its first bytes.
    `always` is for downloads beyond `answers`. After one download it becomes what `then` says.
    """

    content: bytes
    state: dict[str, str]
    answers: deque[Answer] = field(default_factory=deque)
    looks: deque[Answer] = field(default_factory=deque)
    always: Answer = Answer()
    then: tuple[bytes, dict[str, str]] | None = None
    to_head: dict[str, str] | None = None


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def is_look(self) -> bool:
        return self.headers.get("range") == PROBE


class FileServer(ThreadingHTTPServer):
    """`requests` are all that came; `sent` is how many bytes of bodies went out."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, Served] = {}
        self.requests: list[Seen] = []
        self.sent = 0
        self.counting = threading.Lock()

    def serve(self, path: str, content: bytes, **state: str) -> Served:
        """Serves a file with an ETag of its own, or with the headers that are given."""
        headers = {name.replace("_", "-"): value for name, value in state.items()}
        served = Served(content=content, state=headers or {"ETag": f'"{sha256(content)[:8]}"'})
        self.files[path] = served
        return served

    def url(self, path: str = "", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}{path}"

    @property
    def downloads(self) -> list[Seen]:
        return [request for request in self.requests if request.method == "GET" and not request.is_look]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


@contextmanager
def file_server(tls: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    server = FileServer()
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: FileServer

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        seen = Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        self.server.requests.append(seen)
        served = self.server.files.get(self.path.partition("?")[0])
        if served is None:
            self._whole(Answer(status=404))
            return
        if self.command == "HEAD":
            self._head(served)
            return
        planned, always = (served.looks, Answer()) if seen.is_look else (served.answers, served.always)
        answer = planned.popleft() if planned else always
        if answer.status:
            self._whole(answer)
        else:
            self._file(served, answer)
            if served.then and not seen.is_look:
                served.content, served.state = served.then
                served.then = None

    def _head(self, served: Served) -> None:
        self.send_response(200)
        for name, value in (served.state | (served.to_head or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(served.content)))
        self.end_headers()

    def _whole(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _file(self, served: Served, answer: Answer) -> None:
        content, size = served.content, len(served.content)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, *served.state.values())
        if asked is None or answer.whole or not same:
            self.send_response(200)
            body = content
        elif int(asked[1]) >= size:
            self._whole(Answer(status=416, headers={"Content-Range": f"bytes */{size}"}))
            return
        else:
            start, stop = int(asked[1]), min(size, int(asked[2] or size) + 1)
            self.send_response(206)
            told = start + 1 if answer.shifted else start
            self.send_header("Content-Range", f"bytes {told}-{stop - 1}/{size}")
            body = content[: stop - start] if answer.lie else content[start:stop]
        for name, value in (served.state | answer.headers).items():
            self.send_header(name, value)
        if answer.extra:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self._send(body + answer.extra, answer)
        self.close_connection = self.close_connection or bool(answer.extra)

    def _send(self, body: bytes, answer: Answer) -> None:
        end = len(body) if answer.cut is None else min(answer.cut, len(body))
        self._pieces(body[:end], answer.pause)
        if answer.hold is not None:
            answer.hold.wait(HOLD_SECONDS)
            self._pieces(body[end:], answer.pause)
        elif end < len(body):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def _pieces(self, body: bytes, pause: float) -> None:
        for start in range(0, len(body), PIECE):
            time.sleep(pause)
            piece = body[start : start + PIECE]
            self.wfile.write(piece)
            with self.server.counting:
                self.server.sent += len(piece)
