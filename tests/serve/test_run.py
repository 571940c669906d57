import pytest

from tapeout.serve.options import ServeOptions
from tapeout.serve.run import with_name


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("model.tapeout", "model"),
        ("models/Llama-3.2-1B", "Llama-3.2-1B"),
        ("Qwen2.5-1.5B.tapeout/", "Qwen2.5-1.5B"),
    ],
)
def test_a_model_is_served_by_its_folders_name(tmp_path, folder, name):
    assert with_name(ServeOptions(), tmp_path / folder).served_model_name == [name]


def test_the_folder_at_hand_has_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert with_name(ServeOptions(), tmp_path.__class__()).served_model_name == [tmp_path.name]


def test_names_that_are_given_are_the_only_ones(tmp_path):
    asked = ServeOptions(served_model_name=["one", "two"])
    assert with_name(asked, tmp_path) == asked
