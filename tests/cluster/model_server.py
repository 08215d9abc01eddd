"""Runs in a pod: serves the files of a folder with ranges, and tells what was asked for. Port 8080, and over TLS 8443.

GET /FILE                                the file; Range and If-Range are honoured
GET /slow/RATE/FILE                      the same at RATE bytes a second
GET /OWNER/REPO/resolve/REVISION/FILE    the same as on a hub: it says commit, size and sha256 too, and wants HUB_TOKEN
GET /s3/BUCKET/FILE                      the same as in S3: wants a request that S3_KEY signed for S3_REGION
GET /asked                               a JSON list of what was served: path, first byte, bytes sent
"""

import hashlib
import json
import os
import re
import ssl
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FOLDER = "/models"
CHUNK = 1 << 18
ASKED: list[dict[str, Any]] = []
PATHS = re.compile(
    r"(?:/slow/(?P<rate>\d+)|(?P<hub>/[\w.-]+/[\w.-]+/resolve/[\w.-]+)|(?P<bucket>/s3/[\w.-]+))?/(?P<file>[\w.-]+)"
)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@cache
def sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        match = PATHS.fullmatch(self.path)
        path = os.path.join(FOLDER, match["file"]) if match else ""
        if not match or not os.path.isfile(path):
            self.send(404, b"no such file")
            return
        if not self.allowed(match):
            self.send(403, b"not with these credentials")
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
        if match["hub"]:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Linked-Size", str(size))
            self.send_header("X-Linked-Etag", f'"{sha256(path)}"')
        self.end_headers()
        if body:
            self.send_file(path, begin, end, int(match["rate"] or 0))

    def allowed(self, match: re.Match[str]) -> bool:
        shown = self.headers.get("Authorization", "")
        if match["hub"]:
            return shown == f"Bearer {os.environ['HUB_TOKEN']}"
        if match["bucket"]:
            signer = rf"AWS4-HMAC-SHA256 Credential={os.environ['S3_KEY']}/\d{{8}}/{os.environ['S3_REGION']}/s3/aws4_request,"
            return re.match(signer, shown) is not None
        return True

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
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def over_tls() -> ThreadingHTTPServer:
    with open("/tmp/certificate.pem", "w") as file:
        file.write(os.environ["CERTIFICATE"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/tmp/certificate.pem")
    server = ThreadingHTTPServer(("", 8443), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


threading.Thread(target=over_tls().serve_forever).start()
ThreadingHTTPServer(("", 8080), Handler).serve_forever()
