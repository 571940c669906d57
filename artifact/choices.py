"""`tuning.json`: the configuration of each kernel of an artifact, where it is from, and what else
it might have been."""

from collections.abc import Mapping, Sequence

import msgspec

from ..errors import ArtifactError
from .reader import Artifact
from .schema import Strict, encode
from .tuning_table import Configuration, Key
from .writer import ArtifactWriter

CHOICES = "tuning.json"
_TABLE = "table "


class Candidate(Strict, frozen=True, kw_only=True):
    """A configuration that was not chosen, or a kind of which none was."""

    kind: str = ""
    configuration: Configuration  # empty for all of the kind
    reason: str  # why not


class KernelChoice(Strict, frozen=True, kw_only=True):
    """What was chosen for the kernels of a region, for steps of some sizes."""

    kernels: list[str]  # their names; sizes of steps may share kernels, and then each has a record
    key: Key
    level: str | None = None  # the one of a CPU that it is for; None: all that have no other
    kind: str = ""  # of the configuration, where kernels have several
    configuration: Configuration  # empty where there is but one
    origin: str  # `table <device>`, `rule: <why>` or `the only one`
    time_s: float | None = None  # of a launch, as the table says that it was measured there
    candidates: list[Candidate] = []

    @property
    def device(self) -> str | None:
        """The one that it was the fastest on; None where no table was asked."""
        is_tuned = self.origin.startswith(_TABLE)
        return self.origin.removeprefix(_TABLE) if is_tuned else None


def from_table(device: str) -> str:
    """The origin of what a table has for a device."""
    return f"{_TABLE}{device}"


class Choices(Strict, frozen=True, kw_only=True):
    """The file."""

    targets: dict[str, list[KernelChoice]]


def write_choices(writer: ArtifactWriter, targets: Mapping[str, Sequence[KernelChoice]]) -> None:
    """Adds the file to an artifact that is written."""
    found = {name: list(choices) for name, choices in targets.items()}
    writer.add_bytes(CHOICES, encode(Choices(targets=found)))


def read_choices(artifact: Artifact, target: str) -> list[KernelChoice]:
    """What was chosen for a target's kernels; nothing where nobody has said it.

    Raises ArtifactError.
    """
    if CHOICES not in artifact.manifest.files:
        return []
    try:
        found = msgspec.json.decode(artifact.read(CHOICES), type=Choices)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        path, wanted = artifact.path / CHOICES, "the choices of kernels"
        raise ArtifactError(path, "JSON", str(error), wanted, "build it again") from None
    return found.targets.get(target, [])
