"""The errors tapeout raises for what a user can put right; a broken invariant is an `assert`.

Each carries one line that names the offending value, the limit it broke and what to do about it.
"""

_MAX_SHOWN = 120
_OTHER_MODEL = "use a model of another architecture (docs/support.md lists what is compiled)"


class TapeoutError(Exception):
    """The base of every error of ours."""


class InputError(TapeoutError):
    """An argument, a setting or a request has a value that cannot be used."""


class UnsupportedModelError(TapeoutError):
    """The model holds something that cannot be compiled: the module and the reason, what helps.

    Where nothing else helps, that is another model.
    """

    def __init__(self, reason: str, remedy: str = _OTHER_MODEL) -> None:
        self.reason, self.remedy = reason, remedy
        super().__init__(reason, remedy)

    def __str__(self) -> str:
        return f"{self.reason}; {self.remedy}"


class CapacityError(TapeoutError):
    """The work does not fit in the memory, the context or another bound that was given."""


class QueueFullError(CapacityError):
    """The queue has no room for a request now: nothing of it was queued, later it may be."""


class EngineDeadError(TapeoutError):
    """A step failed, so nothing can be generated any more; the model must be loaded anew."""


class BuildError(TapeoutError):
    """A tool of the build, the C++ compiler for one, failed or is missing."""


class FileFormatError(TapeoutError):
    """A file is not what it should be; `file`, `field`, `found` and `wanted` say how.

    `remedy` says what to do about it, where that is known.
    """

    def __init__(
        self, file: object, field: str, found: object, wanted: object, remedy: str = ""
    ) -> None:
        self.file, self.field, self.found, self.wanted = str(file), field, found, wanted
        self.remedy = remedy
        line = f"{self.file}: {field}: found {shown(found)}, wanted {shown(wanted)}"
        super().__init__(f"{line}; {remedy}" if remedy else line)


class CheckpointError(FileFormatError):
    """A checkpoint is damaged, incomplete, lying or in a format that is not read."""


class ArtifactError(FileFormatError):
    """An artifact is damaged, incomplete, or made for another version of tapeout."""


def in_words(error: BaseException) -> str:
    """What an error says, if it is ours; any other by its name, too."""
    return str(error) if isinstance(error, TapeoutError) else shown(repr(error))


def shown(value: object) -> str:
    """A value as one short printable line, whatever a hostile file has put in it."""
    try:
        text = value if isinstance(value, str) and value.isprintable() else repr(value)
    except ValueError:  # a number of thousands of digits
        text = f"a huge {type(value).__name__}"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}... ({len(text)} characters)"
