"""The sockets of --host and --port."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.errors import SettingError
from service.listening import close_sockets, open_sockets, shown_address
from service.settings import Settings


def refusal(settings: Settings) -> str:
    with pytest.raises(SettingError) as caught:
        open_sockets(settings)
    return str(caught.value)


def test_port_0_takes_a_free_one_that_can_be_reached_at_once() -> None:
    opened = open_sockets(Settings(port=0))
    try:
        address = urlsplit(shown_address(opened[0]))
        assert address.port
        socket.create_connection(("127.0.0.1", address.port), timeout=2.0).close()
    finally:
        close_sockets(opened)


def test_a_taken_port_is_named() -> None:
    first = open_sockets(Settings(port=0))
    try:
        port = first[0].getsockname()[1]
        assert refusal(Settings(port=port)) == (
            f"--port: {port} cannot be used; expected a port that is free on 127.0.0.1 (Address already in use)"
        )
    finally:
        close_sockets(first)


def test_a_port_can_be_shared_by_those_who_agree() -> None:
    first = open_sockets(Settings(port=0, reuse_port=True))
    second = open_sockets(Settings(port=first[0].getsockname()[1], reuse_port=True))
    close_sockets(first + second)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.1", "a" * 300])
def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    text = refusal(Settings(host=host, port=0))
    assert text.startswith(f"--host: '{host}' cannot be used; expected an address of this machine")


def test_several_addresses_are_all_listened_on(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    opened = open_sockets(Settings(host=f"127.0.0.1, {path}", port=0))
    try:
        assert [entry.family for entry in opened] == [socket.AF_INET, socket.AF_UNIX]
        assert shown_address(opened[1]) == str(path)
    finally:
        close_sockets(opened)
    assert not path.exists()


def test_when_one_address_fails_the_others_are_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    assert "203.0.113.1" in refusal(Settings(host=f"{path},203.0.113.1", port=0))
    assert not path.exists()


def test_the_socket_of_a_process_that_died_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    opened = open_sockets(Settings(host=str(path)))
    try:
        assert "a path for a new socket" in refusal(Settings(host=str(path)))
    finally:
        close_sockets(opened)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.sock"
    path.write_text("mine")
    assert "a path for a new socket" in refusal(Settings(host=str(path)))
    assert path.read_text() == "mine"
