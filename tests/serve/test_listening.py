import socket
from types import SimpleNamespace

import pytest

from tapeout.errors import InputError
from tapeout.serve.listening import bind, listen, url_of


@pytest.mark.parametrize(
    ("family", "name", "url"),
    [
        (socket.AF_INET, ("127.0.0.1", 8000), "http://127.0.0.1:8000"),
        (socket.AF_INET6, ("::1", 8000, 0, 0), "http://[::1]:8000"),
    ],
)
def test_an_address_is_written_as_clients_want_it(family, name, url):
    assert url_of(SimpleNamespace(family=family, getsockname=lambda: name)) == url


def test_an_address_that_is_bound_takes_no_connections_until_it_listens():
    [first] = bind("127.0.0.1", 0, 1)
    port = first.getsockname()[1]
    [second] = bind("127.0.0.1", port, 1)
    with first, second:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        assert listen([first]) == f"http://127.0.0.1:{port}"
        socket.create_connection(("127.0.0.1", port)).close()
        with pytest.raises(InputError, match=f"port={port} cannot be listened on: .*in use"):
            listen([second])
