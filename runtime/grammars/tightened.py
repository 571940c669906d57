"""Says in a schema what the library takes more loosely than whoever reads the answer.

Its dates know no leap years. And it compares numbers digit by digit: what differs from an exclusive
bound by less than a double can tell would be read as the bound itself. So numbers with such bounds
have only as many digits as are told apart.
"""

from typing import Any

from .schema import schemas_in

_LEAP = (
    "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"  # 4, 100, 400
)
_CALENDAR = (
    rf"^(?:{_LEAP}-02-29|[0-9]{{4}}-(?:02-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-[0-9]{{2}}))"
)
_BOUNDS = ("exclusiveMinimum", "exclusiveMaximum")
_MAX_DIGITS = 14  # which a double tells apart


def tighten(schema: dict[str, Any]) -> None:
    """Changes a schema so that it allows a little less."""
    for _, part in list(schemas_in(schema)):
        if part.get("format") in ("date", "date-time"):
            part["allOf"] = [*part.get("allOf", ()), {"pattern": _CALENDAR}]
        bounds = [abs(part[name]) for name in _BOUNDS if name in part]
        if bounds and part.get("type") != "integer" and "multipleOf" not in part:
            num_digits = len(str(int(max(bounds))))
            part["multipleOf"] = 10.0 ** -max(0, min(9, _MAX_DIGITS - num_digits))
