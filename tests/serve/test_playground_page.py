"""The playground in a real browser."""

import json
from contextlib import contextmanager

import pytest
from browser import NARROW, WIDE, chromium
from server import serving

SORT = "Sort these words: pear fig apple"
SCHEMA = {
    "type": "object",
    "properties": {"name": {"enum": ["pear", "fig"]}},
    "required": ["name"],
    "additionalProperties": False,
}
NUMBER = {"type": "integer"}
ADD = {
    "name": "add",
    "description": "Adds two numbers.",
    "parameters": {
        "type": "object",
        "properties": {"a": NUMBER, "b": NUMBER},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@contextmanager
def opened(browser, url, **options):
    """The page, ready; what goes wrong in it, or leaves the server, fails the test."""
    wrong = []
    context = browser.new_context(**({"viewport": WIDE} | options))
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("request", lambda r: wrong.append(r.url) if not r.url.startswith(url) else None)
    page.goto(url)
    page.wait_for_selector("#state[data-ready=true]")
    page.evaluate("temperature.value = 0")  # its tab may be hidden
    yield page
    context.close()
    assert wrong == []


@pytest.fixture
def page(browser, server):
    with opened(browser, server.url) as page:
        yield page


def ask(page, text):
    """Sends a message by the keyboard, and gives the text of the answer."""
    page.fill("#prompt", text)
    page.keyboard.press("Enter")
    return answer(page)


def answer(page):
    page.wait_for_selector(".message.assistant:last-of-type:not(.busy)")
    return page.locator(".message.assistant .body").last.inner_text()


def test_a_chat_is_answered_as_the_api_answers_it(page, client):
    messages = [{"role": "user", "content": SORT}]
    for text in (SORT, "And backwards?"):
        if text != SORT:
            messages.append({"role": "user", "content": text})
        told = client.chat.completions.create(model="nano", messages=messages, temperature=0)
        assert ask(page, text) == told.choices[0].message.content
        messages.append({"role": "assistant", "content": told.choices[0].message.content})
    assert "tokens in" in page.locator(".message.assistant .meta").last.inner_text()


def test_a_token_tells_what_else_might_have_come(page):
    ask(page, SORT)
    tokens = page.locator(".message.assistant .token")
    assert "".join(tokens.all_inner_texts()) == answer(page)
    tokens.first.hover()
    rows = page.locator("#tip tr")
    assert rows.count() == 5
    page.mouse.move(0, 0)
    page.locator(".message.assistant .body").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert tokens.nth(1).get_attribute("class") == "token chosen"
    assert page.locator("#tip").is_visible()


def test_an_answer_keeps_to_the_schema(page):
    page.fill("#schema", json.dumps(SCHEMA))
    assert json.loads(ask(page, "Which fruit?")) in ({"name": "pear"}, {"name": "fig"})


def test_a_schema_that_is_no_json_is_told_and_nothing_is_sent(page):
    page.fill("#schema", "{")
    page.fill("#prompt", "Hello")
    page.keyboard.press("Enter")
    assert "the schema is not JSON" in page.locator("#settings-error").inner_text()
    assert page.locator(".message.assistant").count() == 0


def test_what_the_server_refuses_is_told(browser, server):
    with serving_page(browser, server) as page:
        page.fill("#top-k", "-7")
        page.fill("#prompt", "Hello")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert].message")
        assert "top_k=-7" in page.locator("[role=alert].message").inner_text()


@contextmanager
def serving_page(browser, server):
    """The page where a refusal is wanted: the browser notes its status as an error."""
    context = browser.new_context(viewport=WIDE)
    page = context.new_page()
    page.goto(server.url)
    page.wait_for_selector("#state[data-ready=true]")
    yield page
    context.close()


def test_a_tool_is_called_and_its_result_answered(page):
    page.fill("#tools", json.dumps([ADD]))
    page.select_option("#tool-choice", "required")
    page.fill("#prompt", "What is 17 + 25?")
    page.keyboard.press("Enter")
    page.wait_for_selector(".call input")
    assert page.locator(".call strong").inner_text() == "add"
    arguments = json.loads(page.locator(".call pre").inner_text())
    assert arguments.keys() == {"a", "b"}
    page.select_option("#tool-choice", "none")
    page.locator(".call input").fill("42")
    page.locator(".call input").press("Enter")
    page.wait_for_selector(".message.assistant:nth-of-type(3):not(.busy)")
    assert "42" in answer(page)


def test_an_answer_can_be_stopped_and_a_new_chat_begun(page):
    page.fill("#schema", '{"type": "string", "minLength": 5000}')
    page.fill("#max-tokens", "1900")
    page.fill("#prompt", "Go on and on")
    page.keyboard.press("Enter")
    page.wait_for_selector(".message.assistant .token")
    page.keyboard.press("Escape")
    page.wait_for_selector(".message.assistant:not(.busy)")
    assert page.locator(".message.assistant .meta").inner_text().startswith("stopped")
    page.keyboard.press("Control+k")
    assert page.locator(".message").count() == 0 and page.locator("#welcome").is_visible()


def test_the_server_is_watched(page):
    ask(page, SORT)
    page.click("#tab-server")
    page.wait_for_selector(".plot:nth-of-type(3) polyline[points*=' ']", state="attached")
    assert page.locator("#plots output").first.inner_text().endswith("of 16")
    assert page.locator("#facts dd").nth(1).inner_text() != "0"


def test_the_layers_show_their_math(page):
    page.focus("#tab-settings")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#tab-layers").get_attribute("aria-selected") == "true"
    assert "× 7" in page.locator(".section.repeated h3").inner_text()
    page.locator("summary", has_text="linear_silu_mul").first.click()
    math = page.locator("details[open] pre").inner_text()
    assert math.startswith("func @linear_silu_mul(") and "silu(" in math


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_page_fits_and_can_be_read(browser, server, scheme, viewport):
    with opened(browser, server.url, color_scheme=scheme, viewport=viewport) as page:
        ask(page, SORT)
        if viewport is NARROW:
            assert not page.locator("#panel").is_visible()
            page.click("#open-panel")
        for tab in ("settings", "server", "layers"):
            page.click(f"#tab-{tab}")
            assert page.locator(f"#{tab}").is_visible()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert page.evaluate("panel.scrollWidth <= panel.clientWidth")
        assert contrast(page, "#layers .quiet") >= 4.5 and contrast(page, "#tab-server") >= 4.5


def contrast(page, selector):
    """Of an element's text against the panel, as WCAG counts it."""
    colors = page.evaluate(
        "s => [getComputedStyle(document.querySelector(s)).color,"
        " getComputedStyle(panel).backgroundColor]",
        selector,
    )
    dark, light = sorted(luminance(color) for color in colors)
    return (light + 0.05) / (dark + 0.05)


def luminance(color):
    parts = [int(part) / 255 for part in color[4:-1].split(",")]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_browser_is_asked_for_the_key(browser, nano):
    with serving(nano, "--api-key", "sécret", "--num-threads", "1") as server:
        credentials = {"username": "anybody", "password": "sécret"}
        with opened(browser, server.url, http_credentials=credentials) as page:
            assert ask(page, SORT) == "apple fig pear"
