"""Runs in a pod: serves the files of a folder with ranges, and tells what was asked for.

GET /FILE                 the file; Range and If-Range are honoured
GET /slow/RATE/FILE       the same at RATE bytes a second
GET /asked                a JSON list of what was served: path, first byte, bytes sent
"""

import json
import os
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FOLDER = "/models"
CHUNK = 1 << 18
ASKED: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        if self.path == "/asked":
            self.send(200, json.dumps(ASKED).encode())
            return
        match = re.fullmatch(r"(?:/slow/(\d+))?/([\w.-]+)", self.path)
        path = os.path.join(FOLDER, match[2]) if match else ""
        if not match or not os.path.isfile(path):
            self.send(404, b"no such file")
            return
        size = os.path.getsize(path)
        tag = f'"{size}-{os.stat(path).st_mtime_ns}"'
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if self.headers.get("If-Range", tag) != tag:
            wanted = None
        begin = int(wanted[1]) if wanted else 0
        end = min(int(wanted[2]) + 1, size) if wanted and wanted[2] else size
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", tag)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - begin))
        if wanted:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
        self.end_headers()
        if body:
            self.send_file(path, begin, end, int(match[1] or 0))

    def send_file(self, path: str, begin: int, end: int, rate: int) -> None:
        entry: dict[str, Any] = {"path": self.path, "begin": begin, "sent": 0}
        ASKED.append(entry)
        with open(path, "rb") as file:
            file.seek(begin)
            while chunk := file.read(min(CHUNK, end - file.tell())):
                self.wfile.write(chunk)
                entry["sent"] += len(chunk)
                if rate:
                    time.sleep(len(chunk) / rate)

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


ThreadingHTTPServer(("", 8080), Handler).serve_forever()
