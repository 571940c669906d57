"""Every topic of TAPEOUT_DEBUG says something, and none is heard when it is off."""

import logging

import pytest
from models import save_tiny
from planted_models import planted_checkpoint

from tapeout import api, settings
from tapeout.frontend.checkpoint import Checkpoint

WORDS = {"passes": "raise/raise_rope", "ir": "entry @step", "kernels": "rope_kv_write"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    save_tiny("llama", folder)
    return Checkpoint.open(folder)


@pytest.mark.parametrize("topic", sorted(WORDS))
def test_a_topic_of_the_compiler_says_what_happens(topic, checkpoint, caplog):
    with caplog.at_level(logging.DEBUG), settings.DEBUG.override(topic):
        api.lower(checkpoint)
    assert WORDS[topic] in caplog.text
    ours = {record.name for record in caplog.records if record.name.startswith("tapeout")}
    assert ours == {f"tapeout.{topic}"}


def test_nothing_is_said_without_a_topic(checkpoint, caplog):
    with caplog.at_level(logging.DEBUG, "tapeout"):
        api.lower(checkpoint)
    assert not [record for record in caplog.records if record.name.startswith("tapeout")]


def test_the_topic_of_passes_says_what_they_left_and_why(tmp_path, monkeypatch, caplog):
    broken = planted_checkpoint("rope turns back", tmp_path, monkeypatch)
    with caplog.at_level(logging.DEBUG), settings.DEBUG.override("passes"):
        api.lower(broken)
    assert "raise/raise_rope left %add_1_1 of @layer0 (model.layers.0.self_attn): wanted that" in (
        caplog.text
    )


def test_the_page_of_settings_says_what_each_topic_logs():
    page = settings.render_table()
    assert all(f"| `{topic}` | " in page for topic in settings.DEBUG_TOPICS)
