"""Writes the page of an artifact and opens it in a browser."""

from contextlib import contextmanager

from browser import WIDE

from tapeout.artifact import Artifact
from tapeout.inspection.facts import facts_of
from tapeout.inspection.render_page import render_page


def write_report(artifact, file):
    opened = Artifact.open(artifact)
    file.write_text(render_page(opened, facts_of(opened)))
    return file


@contextmanager
def opened(browser, file, hash="", **options):
    """The page, drawn; what goes wrong in it, or is asked of anybody, fails the test."""
    wrong, address = [], file.as_uri()
    context = browser.new_context(**({"viewport": WIDE} | options))
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.on("request", lambda r: wrong.append(r.url) if not r.url.startswith(address) else None)
    page.goto(address + hash)
    page.wait_for_selector("#launches li")
    yield page
    context.close()
    assert wrong == []
