"""Numbers in units that are read easily."""

_UNITS = ("bytes", "KiB", "MiB")


def readable_bytes(num_bytes: int) -> str:
    """As `116.7 MiB`."""
    size = float(num_bytes)
    for unit in _UNITS:
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"


def counted(count: int, noun: str) -> str:
    """As `1 layer` or `1,024 launches`."""
    more = "" if count == 1 else "es" if noun.endswith("ch") else "s"
    return f"{count:,} {noun}{more}"
