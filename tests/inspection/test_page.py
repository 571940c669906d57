"""The page of `tapeout inspect --html`, in a real browser."""

import msgspec
import pytest
from browser import NARROW, WIDE
from opened_page import opened, write_report
from small_artifact import manifest, write_small_artifact

from tapeout.artifact import Artifact, ArtifactWriter, encode

MAX_BYTES, MAX_OPEN_MS = 5 << 20, 2000
LOADED_MS = "performance.getEntriesByType('navigation')[0].loadEventEnd"


@pytest.fixture
def page(browser, report):
    with opened(browser, report) as page:
        yield page


def names(page):
    return page.locator("#kernel-rows button.name").all_inner_texts()


def test_a_report_of_80_layers_is_small_and_opens_at_once(browser, report):
    assert report.stat().st_size < MAX_BYTES
    took_ms = []
    for _ in range(3):  # other work may be on the machine
        with opened(browser, report) as page:
            took_ms.append(page.evaluate(LOADED_MS))
    assert min(took_ms) < MAX_OPEN_MS


def test_a_table_has_every_kernel_and_what_its_blocks_take(page, eighty_layers):
    [target] = Artifact.open(eighty_layers).manifest.targets.values()
    assert names(page) == [kernel.name for kernel in target.kernels]
    cells = page.locator("#kernel-rows tr").first.locator("td").all_inner_texts()
    assert cells[3] == str(target.kernels[0].cubin.registers) and cells[-1].endswith("%")


def test_kernels_are_sorted_by_a_click_and_the_other_way_by_the_next(page):
    column = page.locator("td[data-column=registers]")
    page.click("th[data-column=registers] button")
    most_first = [int(text) for text in column.all_inner_texts()]
    assert most_first == sorted(most_first, reverse=True) and len(set(most_first)) > 1
    assert page.get_attribute("th[data-column=registers]", "aria-sort") == "descending"
    page.click("th[data-column=registers] button")
    assert [int(text) for text in column.all_inner_texts()] == most_first[::-1]


def test_kernels_are_found_by_words_by_anchor_and_by_tape(page):
    page.fill("#search", "kv_write decode64")
    assert names(page) == ["rope_kv_write_paged_attention_decode64"]
    page.fill("#search", "silu(")  # is in the math alone
    assert names(page) and all("silu_mul" in name for name in names(page))
    page.fill("#search", "")
    page.click(".chip:has-text('attention')")
    assert names(page) and all("attention" in name for name in names(page))
    page.click(".chip:has-text('attention')")
    page.select_option("#kernel-tape", "step.decode1")
    assert page.locator("#kernel-count").inner_text().startswith(f"{len(names(page))} of ")
    assert "80" in page.locator("td[data-column=launches]").all_inner_texts()


def test_a_kernel_unfolds_to_its_math_source_and_machine_code(page):
    page.fill("#search", "linear_add_squares_decode16")
    page.click("button.name")
    assert page.locator(".detail .code").first.inner_text().startswith("func @linear_add_squares(")
    page.click("summary:has-text('Source')")
    assert (
        "def linear_add_squares_decode16(" in page.locator(".detail .fold .code").first.inner_text()
    )
    page.click("summary:has-text('PTX')")
    page.wait_for_selector(".detail .fold .code:has-text('.target sm_90a')")
    page.click("button.name")
    assert page.locator(".detail").count() == 0


def test_layers_that_repeat_are_shown_once_with_their_count(page):
    repeat = page.locator(".repeat")
    assert repeat.count() == 1 and repeat.locator("strong").inner_text() == "× 80"
    assert "down_proj.weight/0…79" in repeat.inner_text()
    assert page.locator("#launches li").count() < 20


def test_the_arena_is_a_picture_of_values_in_slots(page):
    bars = page.locator(".picture .life")
    num_lives = page.evaluate("tape().lives.length")
    assert bars.count() == num_lives > 8
    assert "gather_rows" in bars.first.locator("title").text_content()
    arena = page.locator(".picture .label").first.text_content()
    page.fill(".sizes input >> nth=0", "4096")
    page.keyboard.press("Tab")
    assert page.locator(".picture .label").first.text_content() != arena


def test_another_tape_is_shown_by_a_click(page):
    page.click("#tape-picker button:text-is('rows64')")
    assert page.locator("#tape-title").inner_text().startswith("step.rows64 takes up to 64 tokens")
    assert "rope_kv_write_paged_attention_rows64_write" in page.locator("#launches").inner_text()


def test_a_launch_leads_to_its_kernel_and_an_address_does_too(browser, report, page):
    page.fill("#search", "nothing has this name")
    page.click("#launches a.name >> nth=2")
    page.wait_for_selector(".detail")
    name = page.url.split("#kernel/")[1]
    with opened(browser, report, hash=f"#kernel/{name}") as other:
        assert other.locator(".detail").count() == 1


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_nothing_is_wider_than_the_window(browser, report, viewport):
    with opened(browser, report, viewport=viewport) as page:
        page.click("button.name >> nth=0")
        page.click("summary:has-text('Source')")
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]


def test_it_is_light_or_dark_as_the_reader_is_or_asks_for(browser, report):
    color = "getComputedStyle(document.body).backgroundColor"
    found = {}
    for scheme in ("light", "dark"):
        with opened(browser, report, color_scheme=scheme) as page:
            found[scheme] = page.evaluate(color)
            page.click("#scheme")
            page.click("#scheme")
            assert page.inner_text("#scheme") == "Theme: dark"
            found[f"{scheme}, dark asked for"] = page.evaluate(color)
    assert found["light"] != found["dark"]
    assert found["light, dark asked for"] == found["dark"] == found["dark, dark asked for"]


def test_without_scripts_there_is_the_text(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert "step.decode1" in page.inner_text("noscript")
    context.close()


HOSTILE = "</script><img src=x onerror=alert(1)>${1}$title%7B'\u2028\"&lt;"


def test_what_an_artifact_says_is_text_and_nothing_else(browser, tmp_path):
    path = write_small_artifact(tmp_path / "hostile.tapeout")
    made = Artifact.open(path)
    files = {name: made.read(name) for name in made.manifest.files}
    target = made.manifest.targets["cpu"]
    tape = made.tape("cpu", "step")
    launch = msgspec.structs.replace(tape.launches[0], kernel=HOSTILE)
    files["tapes/cpu/step.json"] = encode(msgspec.structs.replace(tape, launches=[launch]))
    files["graph.ir"] = b"\xff\xfe" + HOSTILE.encode()
    with ArtifactWriter(path) as writer:
        for name, data in files.items():
            writer.add_bytes(name, data)
        [kernel] = target.kernels
        kernel = msgspec.structs.replace(
            kernel, name=HOSTILE, region=HOSTILE, anchor=HOSTILE, math=HOSTILE, source="graph.ir"
        )
        changed = manifest(target.weights, HOSTILE)
        changed.targets["cpu"] = msgspec.structs.replace(target, kernels=[kernel])
        writer.commit(
            msgspec.structs.replace(
                changed, model=msgspec.structs.replace(changed.model, architecture=HOSTILE)
            )
        )
    report = write_report(path, tmp_path / "report.html")
    with opened(browser, report) as page:
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        assert page.locator("img").count() == 0
        assert names(page) == [HOSTILE]
        page.click("button.name")
        page.click("summary:has-text('Source')")
        assert HOSTILE in page.locator(".fold .code").text_content()


def test_a_cpu_has_costs_in_the_place_of_blocks(browser, nano, tmp_path):
    with opened(browser, write_report(nano, tmp_path / "report.html")) as page:
        heads = page.locator("#kernel-head th").all_inner_texts()
        assert [head.lower() for head in heads] == ["kernel", "tapes", "bytes", "flops"]
        page.click("button.name >> nth=0")
        page.click("summary:has-text('Source')")
        assert "#include" in page.locator(".fold .code").inner_text()
        assert page.locator("summary:has-text('PTX')").count() == 0


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_card_of_the_overview_is_wider_than_its_border(browser, nano, tmp_path, viewport):
    file = write_report(nano, tmp_path / "report.html")  # names of a CPU's folders are the longest
    with opened(browser, file, viewport=viewport) as page:
        wide = "cards => cards.filter(card => card.scrollWidth > card.clientWidth).length"
        assert page.locator(".columns .card").evaluate_all(wide) == 0
