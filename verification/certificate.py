"""What verification says of an artifact: a JSON file beside it, for the artifact stays as it is."""

from pathlib import Path
from typing import Literal

from msgspec import Struct, json

from ..artifact.beside import beside, write_whole

Status = Literal["passed", "failed", "not done"]


class Check(Struct, frozen=True, kw_only=True):
    """One thing that was looked at; `detail` says how much of it, or why not."""

    name: str
    status: Status
    detail: str


class KernelError(Struct, frozen=True, kw_only=True):
    """The worst of all steps that a region's kernels were tried with, by share of its limit.

    Distances from the exact records, relative to their norm, of the worst row; of whole numbers the
    share of rows that are others. `rounding` is the distance of the records in the model's type.
    """

    kernels: list[str]
    result: str
    error: float
    rounding: float
    limit: float
    num_compared: int


class LayerError(Struct, frozen=True, kw_only=True):
    """The worst of a layer; `layer` is None for what is in none."""

    layer: int | None
    kernels: list[str]
    error: float
    limit: float


class LogitsError(Struct, frozen=True, kw_only=True):
    """Of steps of one kind against exact logits, beside those in the model's own type.

    Distances and divergences are medians over rows.
    """

    steps: str
    num_rows: int
    distance: float  # relative to the norm of the row
    distance_of_rounded: float
    kl: float  # in nats
    kl_of_rounded: float
    top1: float  # the share of rows with the reference's most probable token
    top1_of_rounded: float
    passed: bool


class Thresholds(Struct, frozen=True, kw_only=True):
    """What was allowed."""

    max_ratio: float  # of a distance to that of what is rounded to the model's type, and a unit
    units: dict[str, float]  # by the type of a result
    max_other_rows: float  # the share of rows whose whole numbers may be others
    max_kl_ratio: float
    max_top1_loss: float


class Certificate(Struct, frozen=True, kw_only=True):
    """Passed where no check failed; what could not be done here stands among the checks."""

    artifact: str
    manifest_digest: str
    tapeout: str
    target: str | None
    device: str | None
    checkpoint: str | None
    passed: bool
    checks: list[Check]
    faults: list[str]  # the first of them, by name
    logits: list[LogitsError]
    layers: list[LayerError]
    kernels: list[KernelError]
    thresholds: Thresholds | None


def certificate_path(artifact: Path) -> Path:
    """Beside the artifact."""
    return beside(artifact, "certificate.json")


def text_of(certificate: Certificate) -> str:
    """What the file holds."""
    return json.format(json.encode(certificate), indent=1).decode() + "\n"


def write(certificate: Certificate, artifact: Path) -> Path:
    """Writes the file, in place of an earlier one; gives its path. Raises InputError."""
    path = certificate_path(artifact)
    write_whole(path, text_of(certificate).encode())
    return path


def read(artifact: Path) -> Certificate | None:
    """The certificate beside an artifact; None if there is none. It may be of another manifest."""
    path = certificate_path(artifact)
    return json.decode(path.read_bytes(), type=Certificate) if path.is_file() else None
