"""Requests whose fields are honoured or refused by name, none passed over."""

from typing import Any, ClassVar

import msgspec

from ...errors import shown
from ..api_errors import ApiError

_NEUTRAL: tuple[Any, ...] = (None, [], {})


class Refusing(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A request with fields that may be given only with a value that asks for nothing."""

    REFUSED: ClassVar[dict[str, tuple[tuple[Any, ...], str]]] = {}
    """Field -> the values that it may have, and why no other is honoured."""

    def check(self) -> None:
        """Raises ApiError for a field that would otherwise be passed over."""
        for name, (allowed, reason) in self.REFUSED.items():
            value = getattr(self, name)
            if value not in _NEUTRAL and value not in allowed:
                raise ApiError(
                    400,
                    f"{name}={shown(value)} is not supported: {reason}; leave it out",
                    param=name,
                    code="unsupported_parameter",
                )
