import openai
import pytest
from server import serving

from tapeout import LLM


@pytest.fixture(scope="session")
def server(nano):
    """tapeout-nano, served with defaults."""
    with serving(nano, "--max-num-seqs", "16", "--num-threads", "2") as running:
        yield running


@pytest.fixture(scope="session")
def client(server):
    """OpenAI's own client of that server."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def offline(nano):
    """The same model in this process: what it says is what the server has to say."""
    return LLM(nano, num_threads=1, max_num_seqs=4)
