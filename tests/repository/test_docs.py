import re

import pytest
from source_tree import ROOT
from support_table import render_table

from tapeout import settings
from tapeout.passes.required_fusions import render_table as render_fusions
from tapeout.serve.options import render_table as render_options

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]


def test_the_settings_page_is_the_table_of_settings():
    assert (ROOT / "docs" / "settings.md").read_text() == settings.render_table()


def test_the_support_page_is_made_from_the_models_that_are_tested():
    assert (ROOT / "docs" / "support.md").read_text() == render_table()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_there(page):
    paths = re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|c|h|cpp|md))`", page.read_text())
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_serving_page_has_the_table_of_options():
    assert render_options() in (ROOT / "docs" / "serving.md").read_text()


def test_the_page_on_explaining_has_the_table_of_fusions():
    assert render_fusions() in (ROOT / "docs" / "explain.md").read_text()
