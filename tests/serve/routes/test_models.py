import openai
import pytest


def test_the_model_is_listed_with_its_context(client):
    [card] = client.models.list().data
    assert card.id == "nano" and card.max_model_len == 2048
    assert client.models.retrieve("nano").id == "nano"


def test_another_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other/model")
