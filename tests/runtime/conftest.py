import pytest


@pytest.fixture(scope="session")
def llm(fake):
    """The fake model, with few slots so that requests wait."""
    from tapeout import LLM  # tests of the parts below it need no LLM

    return LLM(fake, max_num_seqs=4, max_num_batched_tokens=24, num_threads=2)
