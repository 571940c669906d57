import socket
from types import SimpleNamespace

import pytest

from tapeout.serve.listening import url_of


@pytest.mark.parametrize(
    ("family", "name", "url"),
    [
        (socket.AF_INET, ("127.0.0.1", 8000), "http://127.0.0.1:8000"),
        (socket.AF_INET6, ("::1", 8000, 0, 0), "http://[::1]:8000"),
    ],
)
def test_an_address_is_written_as_clients_want_it(family, name, url):
    assert url_of(SimpleNamespace(family=family, getsockname=lambda: name)) == url
