"""However long a body is, others are served meanwhile; and what can be refused is refused before it is worked on."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tests.component.test_disconnects import until
from tests.support.live_server import live_server

pytestmark = pytest.mark.anyio

TEXTS = ["x"] * 2000
LONG = [
    ("/v1/completions", {"prompt": [1, *TEXTS], "max_tokens": 1}),
    ("/completion", {"prompt": ["x" * 50] * 100, "max_tokens": 1}),
    ("/v1/completions", {"prompt": [1], "max_tokens": 1, "logit_bias": {f"a{number}": 1 for number in range(1000)}}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}] * 200, "max_tokens": 1}),
    ("/tokenize", {"content": TEXTS}),
    ("/tokenize", {"content": TEXTS, "with_pieces": True}),
    ("/detokenize", {"tokens": [1] * 3000}),
]


@pytest.mark.parametrize(("path", "body"), LONG)
async def test_others_are_served_while_a_long_body_is_worked_on(path: str, body: dict[str, Any]) -> None:
    async with live_server() as server:
        began, go_on = threading.Event(), threading.Event()

        def slowly(work: Any) -> Any:
            def worked(*args: Any, **named: Any) -> Any:
                began.set()
                if not go_on.wait(3):
                    go_on.set()
                return work(*args, **named)

            return worked

        for name in ("tokenize", "detokenize"):
            setattr(server.model, name, slowly(getattr(server.model, name)))
        request = asyncio.create_task(server.post(path, body))
        await until(began.is_set)
        try:
            assert not go_on.is_set()
            assert (await asyncio.wait_for(server.client.get("/health"), 2)).status_code == 200
            assert not request.done()
        finally:
            go_on.set()
        assert (await request).status_code == 200


@pytest.mark.parametrize("copies", [1, 10])
async def test_too_many_texts_are_refused_before_any_is_read(copies: int) -> None:
    async with live_server() as server:
        tokenized: list[str] = []
        server.model.tokenize = lambda text, **_: tokenized.append(text) or [1]  # type: ignore[method-assign, func-returns-value]
        answer = await server.post("/v1/completions", {"prompt": ["x"] * (300 // copies), "n": copies})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "prompt"
        assert tokenized == []
