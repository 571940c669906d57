import pytest
from server import serving


@pytest.fixture(scope="session")
def server(nano):
    """tapeout-nano, served with defaults."""
    with serving(nano, "--max-num-seqs", "16", "--num-threads", "2") as running:
        yield running
