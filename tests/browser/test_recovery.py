"""What breaks in the middle is waited for and gone on with: restarts, proxies with nobody behind them, refusals."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Request, Route, expect

from service.settings import Settings
from tests.browser.conftest import Opener, serving
from tests.browser.speaking import SpeakingModel, answers, say, wait_for_answer
from tests.support.command import running_command

COMPLETIONS = "**/v1/chat/completions"
LONGEST = 200


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to end"])
def test_an_answer_goes_on_after_a_restart_of_the_server(
    number: signal.Signals, default_model_path: Path, open_page: Opener
) -> None:
    quick_end = ("--drain-delay", "0", "--drain-timeout", "0.1")
    command = ("--model", str(default_model_path), "--ignore-eos", "-c", "2048", "--threads", "1", *quick_end)
    asked: list[dict[str, Any]] = []

    def note(request: Request) -> None:
        if request.url.endswith("/v1/chat/completions"):
            asked.append(json.loads(request.post_data or ""))

    with running_command(*command) as first:
        url = first.url
        page = open_page(url)
        page.on("request", note)
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Longest answer", exact=True).fill(str(LONGEST))
        page.keyboard.press("Escape")
        say(page, "Tell me of the sea.")
        expect(answers(page).locator(".markdown")).to_contain_text(re.compile(r"(\w+\W+){5}"))
        first.signal(number)
        expect(answers(page)).to_contain_text(re.compile("The connection broke|The server cannot answer now"))
        expect(page.locator(".banner.down")).to_have_text("The server cannot be reached. The page goes on trying.")
        first.ended()
    with running_command(*command, "--port", str(urlsplit(url).port)):
        answer = wait_for_answer(page)
        expect(answer).to_contain_text("cut at the token limit")
        expect(answer).to_contain_text(f"{LONGEST} tokens")
        expect(page.locator(".banner")).to_have_count(0)
    had = asked[-1]["messages"][-1]
    assert had["role"] == "assistant"
    assert 0 < asked[-1]["n_predict"] < LONGEST
    written = page.evaluate(
        """() => new Promise(done => { indexedDB.open("mistral-api").onsuccess = opened => {
            opened.target.result.transaction("conversations").objectStore("conversations").getAll().onsuccess = found =>
                done(Object.values(found.target.result[0].messages).find(one => one.role === "assistant").content); } })"""
    )
    assert written.startswith(had["content"])
    assert len(written) > len(had["content"])


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_that_finds_nobody_behind_it_is_asked_again(status: int, open_page: Opener) -> None:
    with serving(SpeakingModel()) as server:
        page = open_page(server.url)
        asked: list[str] = []

        def refuse_the_first(route: Route) -> None:
            asked.append(route.request.url)
            if len(asked) > 1:
                return route.fallback()
            return route.fulfill(status=status, body="<html>nobody there</html>", content_type="text/html")

        page.route(COMPLETIONS, refuse_the_first)
        say(page, "Hi")
        expect(answers(page)).to_contain_text("The server cannot answer now.")
        expect(wait_for_answer(page).locator(".markdown")).to_have_text("Hello to you.")
        assert len(asked) == 2


def test_a_deadline_of_the_service_itself_is_told_and_not_tried_again(open_page: Opener) -> None:
    with serving(SpeakingModel(), Settings(request_timeout=0.5)) as server:
        page = open_page(server.url)
        server.model.gate.clear()
        say(page, "Hi")
        page.wait_for_timeout(600)
        server.model.gate.set()
        expect(wait_for_answer(page).get_by_role("alert")).to_be_visible()
        expect(answers(page)).to_contain_text("failed")


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
def test_the_seconds_of_retry_after_are_counted_down_and_kept_to(as_date: bool, open_page: Opener) -> None:
    with serving(SpeakingModel()) as server:
        page = open_page(server.url)
        asked: list[float] = []

        def full_at_first(route: Route) -> None:
            asked.append(monotonic())
            if len(asked) > 1:
                return route.fallback()
            in_four = page.evaluate("() => new Date(Date.now() + 4000).toUTCString()") if as_date else "4"
            error = {"message": "full", "type": "overloaded_error", "code": 429}
            return route.fulfill(status=429, json={"error": error}, headers={"retry-after": in_four})

        page.route(COMPLETIONS, full_at_first)
        say(page, "Hi")
        expect(page.locator("[aria-live=polite]")).to_have_text(re.compile(r"Trying again in [34] s\."))
        expect(answers(page).get_by_role("timer")).to_be_visible()
        for seconds in (3, 2, 1):
            expect(answers(page)).to_contain_text(f"its queue is full. Trying again in {seconds} s.")
        expect(wait_for_answer(page).locator(".markdown")).to_have_text("Hello to you.")
        assert asked[1] - asked[0] >= (2.5 if as_date else 3.9)
