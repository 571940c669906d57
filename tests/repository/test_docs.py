from source_tree import ROOT
from support_table import render_table

from tapeout import settings


def test_the_settings_page_is_the_table_of_settings():
    assert (ROOT / "docs" / "settings.md").read_text() == settings.render_table()


def test_the_support_page_is_made_from_the_models_that_are_tested():
    assert (ROOT / "docs" / "support.md").read_text() == render_table()
