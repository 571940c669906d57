"""What the page says of passes, of configurations and of the certificate."""

import msgspec
import pytest
from opened_page import opened, write_report

from tapeout.artifact import PASSES, Artifact, ArtifactWriter
from tapeout.artifact.passes import Miss
from tapeout.inspection.facts import facts_of
from tapeout.inspection.text import text_of
from tapeout.verification.certificate import (
    Certificate,
    Check,
    KernelError,
    LayerError,
    LogitsError,
    write,
)


@pytest.fixture
def page(browser, report):
    with opened(browser, report) as page:
        page.wait_for_selector("button.pass")
        yield page


def open_pass(page, name):
    page.click(f"button.pass:has-text('{name}') >> nth=0")
    return page.locator(".pass-detail")


def test_every_pass_is_there_with_its_rewrites_in_order(page, eighty_layers):
    passes = Artifact.open(eighty_layers).passes().passes
    assert page.locator("button.pass code").all_inner_texts() == [one.name for one in passes]
    counts = page.locator("button.pass b").all_inner_texts()
    assert counts == [f"{one.rewrites:,}" for one in passes if one.rewrites]


def test_a_change_is_marked_in_the_text_before_and_after_a_pass(page):
    shown = open_pass(page, "raise_rope")
    assert "→" in shown.locator("dl").inner_text()
    shown.locator(".diff").wait_for()
    gone = shown.locator(".gone").all_inner_texts()
    come = shown.locator(".come").all_inner_texts()
    assert any("= neg(" in line for line in gone) and not any("rope(" in line for line in gone)
    assert len([line for line in come if "= rope(" in line]) == 2


def test_eighty_layers_that_became_one_are_counted(page):
    assert "@layer79, 79 in all" in open_pass(page, "roll_layers").inner_text()


def test_the_trace_has_no_text_before_it(page):
    shown = open_pass(page, "traced")
    shown.locator("summary:has-text('@layer7')").first.click()
    shown.locator(".code").wait_for()
    assert shown.locator(".diff").count() == 0


TEXTS = ["", "a", "a\nb\nc", "a\nx\nc", "c\nb\na", "x\na\nb\nc\ny", "b\nb\nb", "a\n\nc\nz"]


def test_lines_of_a_difference_make_up_both_texts(page):
    for before in TEXTS:
        for after in TEXTS:
            lines = page.evaluate("([a, b]) => diffLines(a, b)", [before, after])
            assert "\n".join(text for mark, text in lines if mark != "+") == before
            assert "\n".join(text for mark, text in lines if mark != "-") == after
            if before == after:
                assert {mark for mark, _ in lines} == {" "}


def test_a_line_in_the_place_of_another_shows_what_of_it_changed(page):
    page.evaluate("document.body.append(diffBlock('a = mul(b, c)', 'a = add(b, c)'))")
    assert page.locator("body > .diff mark").all_inner_texts() == ["mul", "add"]


def test_a_place_that_a_pass_left_alone_is_named_with_the_predicate_that_failed(
    browser, nano, tmp_path
):
    made = Artifact.open(nano)
    passes = made.passes()
    miss = Miss(function="layer0", value="y", origin="mlp", predicate="one use", found="two <uses>")
    changed = [msgspec.structs.replace(one, misses=[miss]) for one in passes.passes]
    with ArtifactWriter(tmp_path / "model.tapeout") as writer:
        for name in set(made.manifest.files) - {PASSES}:
            writer.add_bytes(name, made.read(name))
        record = msgspec.structs.replace(passes, passes=changed)
        writer.add_bytes(PASSES, msgspec.json.encode(record))
        path = writer.commit(made.manifest)
    with opened(browser, write_report(path, tmp_path / "report.html")) as page:
        shown = open_pass(page, "merge_linears").locator("table")
        assert shown.locator("tbody td").all_inner_texts() == [
            "%y in @layer0",
            "one use",
            "two <uses>",
        ]


def test_a_kernel_says_which_configuration_it_has_and_why(page):
    page.fill("#search", "linear_add_squares_decode64")
    page.click("button.name")
    page.click("summary:has-text('Configuration')")
    page.wait_for_selector(".choices .chosen")
    chosen = page.locator(".choices .chosen td").all_inner_texts()
    assert chosen[0] == "64 rows" and "num_warps" in chosen[1] and chosen[2].startswith("rule: ")
    assert page.locator(".choices tr").count() > 1


def certificate_for(path, **changes):
    logits = LogitsError(
        steps="prefill",
        num_rows=128,
        distance=0.01,
        distance_of_rounded=0.02,
        kl=0.001,
        kl_of_rounded=0.002,
        top1=1.0,
        top1_of_rounded=0.99,
        passed=True,
    )
    kernel = {"kernels": ["tapeout_linear"], "error": 0.5, "limit": 2.0}
    fields = {
        "artifact": path.name,
        "manifest_digest": Artifact.open(path).digest,
        "tapeout": "0.1.0",
        "target": "cpu",
        "device": "CPU, x86-64-v3",
        "checkpoint": None,
        "passed": True,
        "checks": [Check(name="hashes", status="passed", detail="46 files")],
        "faults": [],
        "logits": [logits],
        "layers": [LayerError(layer=0, **kernel)],
        "kernels": [KernelError(result="cast", rounding=0.1, num_compared=7, **kernel)],
        "thresholds": None,
    }
    return Certificate(**(fields | changes))


@pytest.fixture
def copied(nano, tmp_path):
    """An artifact that has nothing beside it."""
    path = tmp_path / "model.tapeout"
    path.symlink_to(nano)
    return path


def certificate_text(browser, path):
    with opened(browser, write_report(path, path.parent / "report.html")) as page:
        for fold in page.locator("#certificate summary").all():
            fold.click()
        for made in page.locator("#certificate .fold").all():
            made.locator("table").wait_for()
        return page.locator("#certificate").inner_text()


def test_a_certificate_beside_the_artifact_is_shown(browser, copied):
    write(certificate_for(copied), copied)
    text = certificate_text(browser, copied)
    for part in (
        "passed",
        "this manifest",
        "46 files",
        "0.01 (0.02)",
        "0.5 of 2",
        "CPU, x86-64-v3",
    ):
        assert part in text
    assert "verified on CPU, x86-64-v3" in text_of(facts_of(Artifact.open(copied)))


def test_a_fault_and_a_certificate_of_another_manifest_are_told(browser, copied):
    fault = "step, launch 3: tapeout_linear is off"
    write(certificate_for(copied, passed=False, faults=[fault], manifest_digest="0" * 64), copied)
    text = certificate_text(browser, copied)
    assert fault in text and "failed" in text and "another manifest, 0000" in text
    assert "of another manifest" in text_of(facts_of(Artifact.open(copied)))


def test_without_a_certificate_there_is_the_way_to_one(browser, copied):
    assert "tapeout verify writes one" in certificate_text(browser, copied)
    assert "no certificate" in text_of(facts_of(Artifact.open(copied)))
