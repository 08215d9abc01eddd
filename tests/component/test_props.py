"""`/props`: what the service is set to."""

from __future__ import annotations

import pytest

from service.settings import Settings
from tests.support.fake_model import FakeModel
from tests.support.live_server import live_server

pytestmark = pytest.mark.anyio


async def test_properties_can_be_posted_only_where_that_is_switched_on() -> None:
    async with live_server() as server:
        refused = await server.post("/props", {})
        assert refused.status_code == 501
        assert refused.json()["error"]["type"] == "not_supported_error"
    async with live_server(settings=Settings(props=True)) as server:
        assert (await server.post("/props", {})).json() == {"success": True}


@pytest.mark.parametrize(
    ("settings", "page", "template"),
    [(Settings(), True, "for tools"), (Settings(ui=False, chat_template="chatml"), False, None)],
)
async def test_properties_tell_of_the_page_and_of_the_template_for_tools(
    settings: Settings, page: bool, template: str | None
) -> None:
    model = FakeModel(cells=4096, sequences=64, tool_template="for tools")
    async with live_server(model, settings) as server:
        props = (await server.client.get("/props")).json()
        assert props["ui"] is page
        assert (props["ui_settings"], props["cors_proxy_enabled"]) == ({}, False)
        assert props.get("chat_template_tool_use") == template


async def test_properties_tell_what_is_ours_too() -> None:
    async with live_server() as server:
        props = (await server.client.get("/props")).json()
    assert props["total_slots"] == 8
    assert props["cpu_variant"] == "fake"
    assert props["state"] == "ready"
    assert props["default_generation_settings"]["n_ctx"] == 4096
