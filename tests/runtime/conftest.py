import pytest
from fake_model import build_fake


@pytest.fixture(scope="session")
def fake(tmp_path_factory):
    """The folder of the fake model's artifact."""
    return build_fake(tmp_path_factory.mktemp("fake") / "fake.tapeout")


@pytest.fixture(scope="session")
def llm(fake):
    """The fake model, with few slots so that requests wait."""
    from tapeout import LLM  # tests of the parts below it need no LLM

    return LLM(fake, max_num_seqs=4, max_num_batched_tokens=24, num_threads=2)
