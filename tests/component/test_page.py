"""How the web page is sent: compressed, cached, and under a strict policy; where it is switched off or replaced."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from urllib.parse import urljoin

import pytest

from service.api.home import BUILT
from service.settings import Settings
from tests.support.live_server import live_server


async def test_the_page_may_load_only_our_own_files() -> None:
    async with live_server() as server:
        page = await server.client.get("/")
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bon\w+=|\bstyle=|https?://", page.text)


async def test_the_page_is_asked_for_again_and_its_files_never() -> None:
    async with live_server() as server:
        page = await server.client.get("/")
        assert page.headers["cache-control"] == "no-cache"
        same = await server.client.get("/", headers={"if-none-match": page.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        for name in re.findall(r'="\./(assets/[^"]+)"', page.text):
            file = await server.client.get(f"/{name}")
            assert file.status_code == 200
            assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert re.search(r"-[\w-]{8}\.\w+$", name)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("identity", None),
        ("", None),
    ],
)
async def test_a_file_comes_in_the_best_coding_that_is_accepted(accepted: str, coding: str | None) -> None:
    async with live_server() as server:
        request = server.client.build_request("GET", "/", headers={"accept-encoding": accepted})
        answer = await server.client.send(request, stream=True)
        raw = b"".join([part async for part in answer.aiter_raw()])
        assert answer.headers.get("content-encoding") == coding
        assert answer.headers["vary"].startswith("accept-encoding")
        if coding == "gzip":
            raw = gzip.decompress(raw)
        assert coding == "br" or raw == (BUILT / "index.html").read_bytes()


def test_what_is_fetched_before_the_first_paint_is_small() -> None:
    page = (BUILT / "index.html").read_text()
    names = ["index.html", *re.findall(r'="\./(assets/[^"]+\.(?:js|css))"', page)]
    assert sum((BUILT / f"{name}.gz").stat().st_size for name in names) <= 120_000


@pytest.mark.parametrize("path", sorted(BUILT.rglob("*.gz")), ids=lambda path: path.name)
def test_a_compressed_file_holds_its_own_file(path: Path) -> None:
    assert gzip.decompress(path.read_bytes()) == path.with_suffix("").read_bytes()


async def test_without_a_page_there_is_nothing_at_the_root() -> None:
    async with live_server(settings=Settings(ui=False)) as server:
        assert (await server.client.get("/")).status_code == 404
        assert (await server.client.get("/v1/models")).status_code == 200


async def test_another_folder_can_be_served(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<p>mine</p>")
    (tmp_path / "secret.txt").write_text("hidden words")
    async with live_server(settings=Settings(static_path=tmp_path / "site", api_key=("k",))) as server:
        assert "mine" in (await server.client.get("/")).text
        assert "mine" in (await server.client.get("/index.html")).text
        for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt"):
            assert "hidden words" not in (await server.client.get(path)).text
        assert (await server.client.get("/v1/models")).status_code == 401


@pytest.mark.parametrize("path", ["/v1/none", "/none", "/a/b/c"])
async def test_what_is_no_endpoint_is_not_found_beside_another_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "index.html").write_text("<p>mine</p>")
    async with live_server(settings=Settings(static_path=tmp_path)) as server:
        answer = await server.post(path, {})
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, f"there is nothing at POST {path}")
        assert (await server.client.get("/none.html")).json()["error"]["type"] == "not_found_error"
        assert (await server.client.delete("/v1/chat/completions")).status_code == 405


async def test_everything_stands_under_the_prefix() -> None:
    async with live_server(settings=Settings(api_prefix="/a/llm")) as server:
        redirect = (await server.client.get("/a/llm")).headers["location"]
        # Relative: a proxy may have taken away what stood before it.
        assert urljoin("https://host/stripped/a/llm", redirect) == "https://host/stripped/a/llm/"
        for path in ("/", "/health", "/v1/models", "/metrics", "/docs", "/docs/openapi.json"):
            assert (await server.client.get(f"/a/llm{path}")).status_code == 200, path
        assert (await server.client.get("/v1/models")).status_code == 404
        docs = (await server.client.get("/a/llm/docs")).text
        script = re.search(r'<script src="([^"]+)"', docs)
        assert script
        assert (await server.client.get(f"/a/llm/{script[1]}")).status_code == 200


@pytest.mark.parametrize(
    ("own", "told", "base"),
    [
        ("", "/llm", "/llm/"),
        ("", "/deep/llm/", "/deep/llm/"),
        ("/a", "/llm", "/llm/a/"),
        ("", "//other.host", None),
        ("", '/"><script>', None),
        ("", "https://other.host/", None),
        ("", "/", None),
    ],
)
async def test_a_proxy_may_tell_the_prefix_that_it_takes_away(own: str, told: str, base: str | None) -> None:
    async with live_server(settings=Settings(api_prefix=own)) as server:
        page = await server.client.get(f"{own}/", headers={"x-forwarded-prefix": told})
    assert re.findall(r'<base href="([^"]*)" />', page.text) == ([base] if base else [])
    assert "x-forwarded-prefix" in page.headers["vary"]
    assert "script-src 'self'" in page.headers["content-security-policy"]


async def test_keys_do_not_close_the_page_which_asks_for_them() -> None:
    async with live_server(settings=Settings(api_key=("k",))) as server:
        assert (await server.client.get("/")).status_code == 200
        assert (await server.client.get("/props")).status_code == 401


async def test_a_file_that_the_page_does_not_have_is_not_found() -> None:
    async with live_server() as server:
        answer = await server.client.get("/assets/none-12345678.js")
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")
