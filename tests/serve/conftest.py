import openai
import pytest
from server import serving
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

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


@pytest.fixture(scope="session")
def checkpoint_with_tokenizer(tmp_path_factory):
    """A tiny checkpoint with a word for each token."""
    from models import save_tiny  # few tests need the compiler

    folder = save_tiny("llama", tmp_path_factory.mktemp("checkpoint") / "tiny")
    words = {f"w{token_id}": token_id for token_id in range(515)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
