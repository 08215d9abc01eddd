"""Unit tests reach no network and no llama.cpp: what they need of either is a sign that the code under test is in the wrong room."""

from __future__ import annotations

import socket
import sys
from collections.abc import Generator
from typing import Any, NoReturn

import pytest


def refuse(*arguments: object, **options: object) -> NoReturn:
    raise RuntimeError("a unit test asked for the network; such a test belongs in tests/component")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    # socketpair and the event loop's own wake-up still work: they neither bind to an address nor connect.
    for verb in ("bind", "connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, verb, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(autouse=True)
def no_llama_cpp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    # The same for imports at the head of a test module.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "llama_cpp", None)
        return (yield)
