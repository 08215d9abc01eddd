"""Starts a server fresh on loopback, waits until it is ready, watches its memory, and ends it."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.client import BenchError, Client

READY_SECONDS = 300.0
MEMORY_SECONDS = 0.5
MEBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared: its name in the table and its command without options."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """What both sides are given. With `threads` 0 the server finds out how many. `cells` is the size of the KV cache in tokens, with
    `whole_pool` all of it for any request."""

    model: Path
    threads: int
    cells: int
    parallel: int = 8
    whole_pool: bool = False
    more: tuple[str, ...] = ()

    def arguments(self, port: int) -> list[str]:
        """As llama-server spells them, and so do we."""
        named: dict[str, object] = {
            "--model": self.model,
            "--host": "127.0.0.1",
            "--port": port,
            "--ctx-size": self.cells,
            "--parallel": self.parallel,
        }
        if self.threads:
            named |= {"--threads": self.threads, "--threads-batch": self.threads}
        pool = "--kv-unified" if self.whole_pool else "--no-kv-unified"
        return [*(str(word) for pair in named.items() for word in pair), pool, "--metrics", *self.more]


@dataclass(slots=True)
class Memory:
    """Peaks in MiB: everything resident, and the part that is not a mapped file."""

    resident: float = 0.0
    anonymous: float = 0.0

    def read(self, pid: int) -> None:
        """Takes the figures of a process as proc(5) gives them in KiB; nothing when it has gone."""
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            self.resident = max(self.resident, kibibytes(fields, "VmRSS") / MEBIBYTE)
            self.anonymous = max(self.anonymous, kibibytes(fields, "RssAnon") / MEBIBYTE)


def kibibytes(fields: dict[str, str], name: str) -> int:
    """A field like `  1234 kB`; 0 for a process that is ending and has it no more."""
    return int(fields.get(name, "0").split()[0])


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs: how to talk to it, and the peaks of its memory so far."""

    client: Client
    pid: int
    memory: Memory


@asynccontextmanager
async def running(side: Side, options: Options) -> AsyncIterator[Server]:
    """Starts `side`; inside the block it is ready. Its output goes to a file of which a failed start shows the end."""
    port = free_port()
    with tempfile.TemporaryFile() as output:
        process = await asyncio.create_subprocess_exec(
            *side.command, *options.arguments(port), stdout=output, stderr=output, env=environment()
        )
        server = Server(Client(port), process.pid, Memory())
        watch = asyncio.create_task(watch_memory(server))
        try:
            await ready(server.client, process)
            yield server
        except (BenchError, ConnectionError) as error:
            output.seek(0)
            raise BenchError(f"{side.name}: {error}\n{output.read()[-4000:].decode(errors='replace')}") from error
        finally:
            watch.cancel()
            await end(process)


async def ready(client: Client, process: asyncio.subprocess.Process) -> None:
    """Waits for /health to say 200."""
    with suppress(TimeoutError):
        async with asyncio.timeout(READY_SECONDS):
            while process.returncode is None:
                with suppress(ConnectionError):
                    status, _ = await client.get("/health")
                    if status == 200:
                        return
                await asyncio.sleep(0.1)
    raise BenchError("did not become ready" if process.returncode is None else f"ended with {process.returncode}")


async def watch_memory(server: Server) -> None:
    while True:
        server.memory.read(server.pid)
        await asyncio.sleep(MEMORY_SECONDS)


async def end(process: asyncio.subprocess.Process) -> None:
    """Asks twice (the second signal ends a server that drains), then insists."""
    for signal, seconds in (("terminate", 0.5), ("terminate", 5.0), ("kill", 30.0)):
        with suppress(ProcessLookupError, TimeoutError):
            getattr(process, signal)()
            await asyncio.wait_for(process.wait(), seconds)
        if process.returncode is not None:
            return


def environment() -> dict[str, str]:
    """Ours without what would set options behind the benchmark's back."""
    hidden = ("LLAMA_ARG_", "LLAMA_API_KEY", "MISTRAL_API_")
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
