from source_tree import ROOT

from tapeout import settings


def test_the_settings_page_is_the_table_of_settings():
    assert (ROOT / "docs" / "settings.md").read_text() == settings.render_table()
