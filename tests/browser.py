"""A real browser for tests of the page: Debian's Chromium, driven by Playwright."""

import shutil
from contextlib import contextmanager

import pytest

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 800}


@contextmanager
def chromium():
    """A browser; the test is skipped where none is installed."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium is installed: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
