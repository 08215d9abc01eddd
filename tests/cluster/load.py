"""Runs in a pod: asks ADDRESS for streams without a pause until /tmp/stop is there, then prints what came of them in JSON.

A stream has failed when it has no 200, breaks off, or does not end as streams end. Each comes over a connection of its own.
"""

import http.client
import json
import os
import socket
import sys
import threading
import time
from urllib.parse import urlsplit

ADDRESS = urlsplit(os.environ["ADDRESS"])
# Resolved once: it is the Service's address for good, and what the cluster's DNS fails to answer says nothing about the service.
HOST = socket.gethostbyname(ADDRESS.hostname or "")
WORKERS, TOKENS = int(os.environ.get("WORKERS", "3")), int(os.environ.get("TOKENS", "40"))
whole: list[float] = []
failed: list[str] = []


def await_the_service() -> None:
    """A node's rules follow a service's first endpoint a moment later: until then it refuses connections."""
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((HOST, ADDRESS.port or 80), timeout=5).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def stream(number: str) -> str:
    connection = http.client.HTTPConnection(HOST, ADDRESS.port, timeout=120)
    try:
        body = {"prompt": f"Story {number}:", "max_tokens": TOKENS, "stream": True, "ignore_eos": True}
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            return f"{response.status} {response.read(300)!r}"
        lines = [line for line in response.read().decode().splitlines() if line.startswith("data: ")]
        return "" if lines and lines[-1] == "data: [DONE]" else f"broke off after {len(lines)} events: {lines[-1:]}"
    finally:
        connection.close()


def work(worker: int) -> None:
    number = 0
    while not os.path.exists("/tmp/stop"):
        number += 1
        began = time.time()
        try:
            reason = stream(f"{worker}.{number}")
        except (OSError, http.client.HTTPException) as error:
            reason = repr(error)
        if reason:
            failed.append(f"{time.strftime('%H:%M:%S')} after {time.time() - began:.1f} s: {reason}")
            time.sleep(0.2)
        else:
            whole.append(time.time() - began)


await_the_service()
threads = [threading.Thread(target=work, args=(worker,)) for worker in range(WORKERS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({"whole": len(whole), "failed": failed, "longest": max(whole, default=0)}))
sys.stdout.flush()
