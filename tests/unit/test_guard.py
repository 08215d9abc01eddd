from __future__ import annotations

import socket

import pytest


def test_a_unit_test_cannot_reach_the_network() -> None:
    with socket.socket() as plug, pytest.raises(RuntimeError, match="tests/component"):
        plug.connect(("127.0.0.1", 9))
    with pytest.raises(RuntimeError, match="tests/component"):
        socket.create_connection(("localhost", 9))


def test_a_unit_test_cannot_import_llama_cpp() -> None:
    with pytest.raises(ImportError):
        __import__("llama_cpp")
