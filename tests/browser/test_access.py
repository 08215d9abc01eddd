"""Everybody gets in: by keyboard, with a screen reader, on a phone, in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from tests.browser.conftest import NARROW, WIDE, Opener, serving
from tests.browser.speaking import SpeakingModel, answers, say, wait_for_answer
from tests.browser.test_markdown import RICH
from tests.support.live_server import LiveServer

Theme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with serving(SpeakingModel(says=RICH)) as server:
        yield server


def violations(page: Page) -> list[tuple[str, list[str]]]:
    """What axe-core finds, with all its rules: WCAG 2 A and AA, and best practices."""
    found: dict[str, Any] = Axe().run(page).response
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]]


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_wrong(server: LiveServer, open_page: Opener, theme: Theme, viewport: dict[str, int]) -> None:
    page = open_page(server.url, color_scheme=theme, viewport=viewport)
    expect(page.get_by_text("fake runs on this server")).to_be_visible()
    assert violations(page) == []
    say(page, "Show me")
    wait_for_answer(page)
    answers(page).get_by_role("button", name="Answer again").click()
    wait_for_answer(page)
    assert violations(page) == []
    for shortcut, name in (("?", "Keyboard shortcuts"), ("Alt+KeyS", "Settings of this conversation")):
        page.locator("main").focus()
        page.keyboard.press(shortcut)
        expect(page.get_by_role("dialog", name=name)).to_be_visible()
        for closed in page.locator("dialog details").all()[1:]:
            closed.locator("summary").click()
        assert violations(page) == []
        page.keyboard.press("Escape")
    page.keyboard.press("Alt+Digit2")
    page.get_by_role("button", name="Go on").click()
    page.locator(".chance").first.click()
    expect(page.get_by_role("heading", name="Set up")).to_be_visible()
    expect(page.locator(".tokens li").first).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Alt+Digit3")
    expect(page.get_by_role("heading", name="In a Kubernetes cluster")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize("view", ["chat", "server", "use"])
def test_nothing_is_cut_off_on_a_phone(server: LiveServer, open_page: Opener, view: str) -> None:
    page = open_page(f"{server.url}/#/{view}", viewport=NARROW)
    if view == "chat":
        say(page, "Show me")
        wait_for_answer(page)
    page.wait_for_timeout(300)
    wide = page.evaluate(
        """() => [...document.querySelectorAll('body *')]
            .filter(one => !one.closest('.code, .table, .unseen, .skip, .side, svg, pre'))
            .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
            .map(one => one.outerHTML.slice(0, 120))"""
    )
    assert wide == []


def test_conversations_open_as_a_drawer_on_a_phone(server: LiveServer, open_page: Opener) -> None:
    page = open_page(server.url, viewport=NARROW)
    drawer, menu = (
        page.get_by_role("dialog", name="Conversations"),
        page.get_by_role("button", name="Conversations", exact=True),
    )
    expect(page.get_by_role("button", name="New chat")).to_be_hidden()
    menu.click()
    expect(drawer.get_by_role("button", name="New chat")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="New chat")).to_be_hidden()
    menu.click()
    page.mouse.click(350, 400)
    expect(drawer).to_have_count(0)


def test_the_drawer_holds_the_focus_and_gives_it_back(server: LiveServer, open_page: Opener) -> None:
    # With movement, as what is still on its way in cannot take the focus.
    page = open_page(server.url, viewport=NARROW, reduced_motion="no-preference")
    say(page, "About whales")
    wait_for_answer(page)
    menu, close = (
        page.get_by_role("button", name=name, exact=True) for name in ("Conversations", "Close conversations")
    )
    menu.focus()
    page.keyboard.press("Enter")
    expect(close).to_be_focused()
    places = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        inside = "() => document.activeElement.closest('.side') ? 'drawer' : document.activeElement.localName"
        places.add(page.evaluate(inside))
    # At the end of what can be reached the browser's own buttons follow; the page says "body" then.
    assert "drawer" in places
    assert places <= {"drawer", "body"}
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Actions for About whales").click()
    page.get_by_role("button", name="Rename").click()
    page.keyboard.press("Escape")
    chosen = page.get_by_role("button", name="About whales", exact=True)
    expect(chosen).to_be_focused()
    chosen.press("Enter")
    expect(close).to_be_hidden()
    page.wait_for_function("() => document.activeElement.matches('#message, header button')")
    page.keyboard.press("Control+KeyK")
    expect(page.get_by_label("Search conversations")).to_be_focused()
    page.set_viewport_size({"width": 1440, "height": 900})
    # The page hears of its new width a moment later.
    page.wait_for_function("() => !document.querySelector('.body').inert")
    page.locator("#message").focus()
    expect(page.locator("#message")).to_be_focused()


def test_the_keyboard_is_enough(server: LiveServer, open_page: Opener) -> None:
    page = open_page(server.url)
    expect(page.locator("#message")).to_be_focused()
    page.keyboard.type("By keyboard")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("only")
    page.keyboard.press("Enter")
    wait_for_answer(page)
    assert page.locator(".bubble").inner_text() == "By keyboard\nonly"
    page.keyboard.press("ArrowUp")
    expect(page.locator(".editor textarea")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".editor")).to_have_count(0)
    page.keyboard.press("Alt+KeyR")
    expect(wait_for_answer(page).locator(".branches")).to_contain_text("2 of 2")
    page.locator("main").focus()
    page.keyboard.press("Alt+ArrowLeft")
    expect(answers(page).locator(".branches")).to_contain_text("1 of 2")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Control+KeyK")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.press("Alt+KeyN")
    expect(page.locator("#message")).to_be_focused()
    expect(answers(page)).to_have_count(0)
    page.keyboard.press("Alt+Digit2")
    expect(page.get_by_role("heading", name="Server", level=1)).to_be_visible()
    page.keyboard.press("/")
    expect(page.locator("#message")).to_be_focused()


PRESSED = """async ([key, options]) => {
    dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, ...options }));
    await null;
    const { activeElement: one } = document;
    return [one.id || one.className || one.ariaLabel, one.selectionStart, one.closest('dialog')?.open];
}"""
EDITED = """async () => {
    document.querySelector(".message.user [aria-label=Edit]").click();
    await null;
    const { activeElement: one } = document;
    return [one.ariaLabel, one.selectionStart, one.closest('form').className];
}"""


def test_the_focus_is_there_before_the_next_key(server: LiveServer, open_page: Opener) -> None:
    """In the same task as the key or the click: a later key, on a busy machine long before the next frame, finds it."""
    page = open_page(server.url)
    say(page, "Some words")
    wait_for_answer(page)
    assert page.evaluate(EDITED) == ["Edit", len("Some words"), "editor"]
    assert page.evaluate(PRESSED, ["k", {"ctrlKey": True}])[0] == "search"
    page.locator("main").focus()
    assert page.evaluate(PRESSED, ["/", {}])[0] == "message"
    page.locator("main").focus()
    assert page.evaluate(PRESSED, ["n", {"altKey": True, "code": "KeyN"}])[0] == "message"
    assert page.evaluate(PRESSED, ["s", {"altKey": True, "code": "KeyS"}])[2] is True


def press(page: Page, name: str) -> None:
    """The last message's button, as who uses the keyboard does."""
    button = page.locator(".message").last.get_by_role("button", name=name)
    button.focus()
    page.keyboard.press("Enter")


def test_the_focus_goes_on_where_a_button_has_gone(server: LiveServer, open_page: Opener) -> None:
    page = open_page(server.url)
    say(page, "Some words")
    wait_for_answer(page)
    composer, edit = page.locator("#message"), answers(page).get_by_role("button", name="Edit")
    press(page, "Edit")
    page.keyboard.press("Escape")
    expect(edit).to_be_focused()
    press(page, "Edit")
    page.keyboard.type("!")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(answers(page).locator(".branches")).to_contain_text("2 of 2")
    expect(edit).to_be_focused()
    press(page, "Answer again")
    expect(composer).to_be_focused()
    expect(wait_for_answer(page).locator(".branches")).to_contain_text("3 of 3")
    press(page, "Previous branch")
    page.keyboard.press("Enter")
    expect(answers(page).locator(".branches")).to_contain_text("1 of 3")
    expect(page.get_by_role("button", name="Next branch").last).to_be_focused()
    for left in ("of 2", "", None):
        press(page, "Delete")
        if left is not None:
            expect(answers(page).get_by_role("button", name="Delete")).to_be_focused()
            expect(answers(page)).to_contain_text(left)
    expect(answers(page)).to_have_count(0)
    expect(composer).to_be_focused()
    page.locator(".unanswered button").press("Enter")
    expect(composer).to_be_focused()
    wait_for_answer(page)
    page.keyboard.press("ArrowUp")
    expect(page.locator(".editor textarea")).to_be_focused()
    page.keyboard.press("Escape")
    expect(composer).to_be_focused()


def test_every_stop_of_the_tab_key_can_be_seen(server: LiveServer, open_page: Opener) -> None:
    page = open_page(server.url)
    expect(page.get_by_text("fake runs on this server")).to_be_visible()
    seen = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            """() => {
                const one = document.activeElement, style = getComputedStyle(one);
                const shown = style.outlineStyle !== 'none' || one.id === 'message' || one === document.body;
                return [one.getAttribute('aria-label') ?? one.textContent ?? '', shown];
            }"""
        )
        seen.add(stop[0])
        assert stop[1], stop
    assert {"New chat", "Search conversations", "Message", "Chat", "Server", "Use it"} <= seen


def test_a_theme_that_was_chosen_stays(server: LiveServer, open_page: Opener) -> None:
    page = open_page(server.url, color_scheme="light")
    page.get_by_role("button", name="Theme: as the system").click()
    page.get_by_role("button", name="Theme: light").click()
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(23, 22, 20)"
