"""Who may come in: keys are compared by their digests, all of them every time."""

from base64 import b64decode
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from hmac import compare_digest

Headers = Iterable[tuple[bytes, bytes]]


class ApiKeys:
    """The keys that are let in; with none everybody is."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [sha256(key.encode()).digest() for key in keys]

    def tenant(self, headers: Headers) -> str | None:
        """Whose request it is; None for a stranger's.

        Takes as long whichever key it is, or none.
        """
        if not self._digests:
            return ""
        given = list(_keys(headers))
        digest = sha256(given[0] if len(given) == 1 else b"").digest()
        tenant = None
        for index, known in enumerate(self._digests):
            if compare_digest(known, digest):
                tenant = f"key-{index}"
        return tenant


def _keys(headers: Headers) -> Iterable[bytes]:
    """OpenAI's clients send `Authorization: Bearer KEY`, Anthropic's `x-api-key: KEY`.

    A browser that opens the playground asks for a name and a password, which is the key.
    """
    for name, value in headers:
        if name == b"x-api-key":
            yield value
        elif name == b"authorization":
            scheme, _, key = value.partition(b" ")
            yield _READERS.get(scheme.lower(), _unknown)(key.strip())


def _password(credentials: bytes) -> bytes:
    try:
        return b64decode(credentials, validate=True).partition(b":")[2]
    except ValueError:
        return b""


def _unknown(credentials: bytes) -> bytes:
    return b""


_READERS: dict[bytes, Callable[[bytes], bytes]] = {b"bearer": bytes, b"basic": _password}
