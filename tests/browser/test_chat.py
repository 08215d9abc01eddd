"""Talking to the model: what is written is kept, branched, stopped, gone on with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Opener, serving
from tests.browser.speaking import SpeakingModel, answers, say, wait_for_answer
from tests.support.command import running_command
from tests.support.live_server import LiveServer


@pytest.fixture
def server() -> Iterator[LiveServer]:
    with serving(SpeakingModel()) as server:
        yield server


def speaking(server: LiveServer) -> SpeakingModel:
    assert isinstance(server.model, SpeakingModel)
    return server.model


def test_an_answer_comes_with_its_figures(server: LiveServer, open_page: Opener) -> None:
    page = open_page(server.url)
    expect(page.get_by_text("fake runs on this server")).to_be_visible()
    say(page, "Hello?")
    answer = wait_for_answer(page)
    expect(answer.locator(".markdown")).to_have_text("Hello to you.")
    expect(answer).to_contain_text("complete")
    expect(answer).to_contain_text("14 tokens")
    expect(answer).to_contain_text("first token after")
    expect(page.locator(".context")).to_contain_text("/ 16,384")


def test_a_stopped_answer_frees_its_place_and_can_be_gone_on_with(server: LiveServer, open_page: Opener) -> None:
    model = speaking(server)
    model.pause, model.says = 0.02, "word " * 400
    page = open_page(server.url)
    say(page, "Tell me a lot")
    expect(answers(page).locator(".markdown")).to_contain_text("word word")
    assert server.engine.running == 1
    page.get_by_role("button", name="Stop", exact=True).click()
    answer = wait_for_answer(page)
    expect(answer).to_contain_text("stopped by you")
    page.wait_for_function("() => fetch('metrics').then(r => r.text()).then(t => /requests_running 0/.test(t))")
    assert server.engine.running == 0
    model.pause, model.says = 0.0, "and the rest."
    before = answer.locator(".markdown").inner_text()
    with page.expect_request("**/v1/chat/completions") as asked:
        answer.get_by_role("button", name="Continue").click()
    sent = json.loads(asked.value.post_data or "")["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant"]
    assert sent[1]["content"].strip() == before.strip()
    expect(wait_for_answer(page).locator(".markdown")).to_contain_text("and the rest.")


def test_an_edited_message_begins_a_branch_and_one_can_step_back(server: LiveServer, open_page: Opener) -> None:
    page = open_page(server.url)
    say(page, "first words")
    wait_for_answer(page)
    speaking(server).says = "Another answer."
    page.locator(".message.user").get_by_role("button", name="Edit").click()
    page.locator(".editor textarea").fill("second words")
    page.keyboard.press("Enter")
    expect(page.locator(".bubble")).to_have_text("second words")
    expect(wait_for_answer(page).locator(".markdown")).to_have_text("Another answer.")
    expect(page.locator(".message.user .branches")).to_contain_text("2 of 2")
    page.get_by_role("button", name="Previous branch").click()
    expect(page.locator(".bubble")).to_have_text("first words")
    expect(answers(page).locator(".markdown")).to_have_text("Hello to you.")


def test_another_answer_stands_beside_the_first_one(server: LiveServer, open_page: Opener) -> None:
    page = open_page(server.url)
    say(page, "Say it")
    wait_for_answer(page)
    speaking(server).says = "Once more."
    answers(page).get_by_role("button", name="Answer again").click()
    expect(answers(page).locator(".markdown")).to_have_text("Once more.")
    expect(wait_for_answer(page).locator(".branches")).to_contain_text("2 of 2")


def test_a_deleted_message_can_be_brought_back(server: LiveServer, open_page: Opener) -> None:
    page = open_page(server.url)
    say(page, "Say it")
    wait_for_answer(page)
    answers(page).get_by_role("button", name="Delete").click()
    expect(answers(page)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(answers(page)).to_have_count(1)


def test_reloading_keeps_the_conversation_and_an_answer_that_was_being_written(
    server: LiveServer, open_page: Opener
) -> None:
    model = speaking(server)
    model.pause, model.says = 0.02, "word " * 400
    page = open_page(server.url)
    say(page, "Keep this")
    expect(answers(page).locator(".markdown")).to_contain_text("word word")
    page.wait_for_timeout(1800)
    page.reload()
    expect(page.locator(".bubble")).to_have_text("Keep this")
    expect(answers(page).locator(".markdown")).to_contain_text("word word")
    expect(answers(page)).to_contain_text("interrupted")
    expect(answers(page).get_by_role("button", name="Continue")).to_be_enabled()


def test_conversations_are_found_renamed_exported_and_imported(
    server: LiveServer, open_page: Opener, tmp_path: Path
) -> None:
    page = open_page(server.url)
    say(page, "About whales")
    wait_for_answer(page)
    page.get_by_role("button", name="New chat").click()
    say(page, "About ships")
    wait_for_answer(page)
    page.get_by_label("Search conversations").fill("whales")
    expect(page.locator(".entry")).to_have_count(1)
    page.get_by_role("button", name="Actions for About whales").click()
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Title", exact=True).fill("Big animals")
    page.keyboard.press("Enter")
    expect(page.locator(".entry")).to_have_text("Big animals")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export all").click()
    file = tmp_path / "conversations.json"
    saved.value.save_as(file)
    titles = [one["title"] for one in json.loads(file.read_text())["conversations"]]
    assert sorted(titles) == ["About ships", "Big animals"]
    fresh = open_page(server.url)
    fresh.locator("input[type=file]").set_input_files(file)
    expect(fresh.locator(".entry")).to_have_count(2)
    fresh.get_by_role("button", name="Big animals", exact=True).click()
    expect(fresh.locator(".bubble")).to_have_text("About whales")


def test_settings_show_the_servers_defaults_and_go_out_only_when_changed(server: LiveServer, open_page: Opener) -> None:
    page = open_page(server.url)
    page.get_by_role("button", name="Settings").click()
    temperature = page.get_by_label("Temperature", exact=True)
    expect(temperature).to_have_attribute("placeholder", "0.8")
    temperature.fill("0.2")
    page.get_by_label("System prompt").fill("Be short.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="2 settings changed")).to_be_visible()
    with page.expect_request("**/v1/chat/completions") as asked:
        say(page, "Hello?")
    sent = json.loads(asked.value.post_data or "")
    assert sent["temperature"] == 0.2
    assert "top_k" not in sent
    assert sent["messages"][0] == {"role": "system", "content": "Be short."}
    wait_for_answer(page)
    page.get_by_role("button", name="2 settings changed").click()
    page.get_by_role("button", name="Back to the server's: Temperature").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="1 setting changed")).to_be_visible()


def test_thoughts_are_folded_and_not_sent_again(server: LiveServer, open_page: Opener) -> None:
    speaking(server).says = "<think>\nLet me see.\n</think>\n\nFour."
    page = open_page(server.url)
    say(page, "Two and two?")
    answer = wait_for_answer(page)
    expect(answer.locator(".markdown").last).to_have_text("Four.")
    expect(answer.get_by_text("Let me see.")).to_be_hidden()
    answer.get_by_text("Thoughts").click()
    expect(answer.get_by_text("Let me see.")).to_be_visible()
    with page.expect_request("**/v1/chat/completions") as asked:
        say(page, "Sure?")
    assert json.loads(asked.value.post_data or "")["messages"][1]["content"] == "Four."


def test_the_default_model_answers(default_model_path: Path, open_page: Opener) -> None:
    with running_command("--model", str(default_model_path)) as running:
        page = open_page(running.url)
        say(page, "What is the capital of France? One word.")
        expect(answers(page).locator(".markdown")).not_to_be_empty(timeout=60_000)
        expect(answers(page).get_by_role("button", name="Answer again")).to_be_enabled(timeout=60_000)
        expect(answers(page)).to_contain_text("tokens/s")
