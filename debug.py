"""Logs what happens by the topics of TAPEOUT_DEBUG; the text of a request, never."""

import logging
from collections.abc import Callable

from . import settings

Log = Callable[..., None]


def topic_log(topic: str) -> Log | None:
    """Where lines of a topic go, the standard error; None when the topic is off."""
    if topic not in settings.DEBUG.get():
        return None
    logger = logging.getLogger(f"tapeout.{topic}")
    logger.setLevel(logging.DEBUG)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        logger.addHandler(handler)
    return logger.debug
