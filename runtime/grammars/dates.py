"""Holds dates to the calendar: the library's own formats know no leap years."""

from typing import Any

from .schema import schemas_in

_LEAP = (
    "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"  # 4, 100, 400
)
_CALENDAR = (
    rf"^(?:{_LEAP}-02-29|[0-9]{{4}}-(?:02-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-[0-9]{{2}}))"
)


def hold_to_calendar(schema: dict[str, Any]) -> None:
    """Adds to every schema of a date in it that the 29th of February comes every fourth year."""
    for _, part in list(schemas_in(schema)):
        if part.get("format") in ("date", "date-time"):
            part["allOf"] = [*part.get("allOf", ()), {"pattern": _CALENDAR}]
