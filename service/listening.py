"""The sockets that the service listens on. They are opened before anything else, so that a taken port is one clear line."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from service.errors import SettingError
from service.settings import Settings

BACKLOG = 2048


def open_sockets(settings: Settings) -> list[socket.socket]:
    """Listening sockets for every address of --host. Raises SettingError."""
    hosts = [host.strip() for host in settings.host.split(",") if host.strip()]
    opened: list[socket.socket] = []
    try:
        for host in hosts:
            if host.endswith(".sock"):
                opened.append(_unix_socket(Path(host).expanduser()))
            else:
                opened.extend(_tcp_sockets(host, settings, alone=len(hosts) == 1))
    except SettingError:
        close_sockets(opened)
        raise
    return opened


def close_sockets(sockets: list[socket.socket]) -> None:
    """Closes them and removes the files of Unix sockets."""
    for opened in sockets:
        name = opened.getsockname() if opened.fileno() >= 0 else ""
        opened.close()
        if isinstance(name, str) and name:
            Path(name).unlink(missing_ok=True)


def shown_address(opened: socket.socket) -> str:
    """A URL, or the path of a Unix socket."""
    name = opened.getsockname()
    if isinstance(name, str):
        return name
    host = f"[{name[0]}]" if opened.family == socket.AF_INET6 else name[0]
    return f"http://{host}:{name[1]}"


def _tcp_sockets(host: str, settings: Settings, *, alone: bool) -> list[socket.socket]:
    """One socket for each address that the name has; an address that this machine lacks is left out while another one works."""
    try:
        found = socket.getaddrinfo(host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise SettingError("--host", host, f"an address of this machine ({error})") from None
    opened: list[socket.socket] = []
    failure: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(found):
        try:
            opened.append(_tcp_socket(family, address, settings, both_families=alone and len(found) == 1))
        except OSError as error:
            failure = error
            if error.errno == errno.EADDRINUSE:
                break
    if failure is not None and (not opened or failure.errno == errno.EADDRINUSE):
        close_sockets(opened)
        raise _refused(host, settings.port, failure)
    return opened


def _tcp_socket(family: int, address: tuple[object, ...], settings: Settings, *, both_families: bool) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.reuse_port:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both_families else 1)
        opened.bind(address)
        opened.listen(BACKLOG)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened


def _refused(host: str, port: int, error: OSError) -> SettingError:
    words = os.strerror(error.errno or 0)
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        return SettingError("--port", port, f"a port that is free on {host} ({words})")
    return SettingError("--host", host, f"an address of this machine ({words})")


def _unix_socket(path: Path) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_left_over(path):
            path.unlink()
        opened.bind(str(path))
        opened.listen(BACKLOG)
        opened.setblocking(False)
    except OSError as error:
        opened.close()
        raise SettingError("--host", str(path), f"a path for a new socket ({error.strerror or error})") from None
    return opened


def _is_left_over(path: Path) -> bool:
    """Whether a socket stands there that nobody listens on."""
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == errno.ECONNREFUSED
