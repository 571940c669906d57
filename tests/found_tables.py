"""Tables for the kernels of artifacts, as if a search had found other configurations for them."""

from cpu import native_levels

from tapeout.artifact import Artifact
from tapeout.artifact.choices import read_choices
from tapeout.artifact.tuning_table import Device, DeviceEntries, Entry, Table

LEVEL = native_levels()[0]
CHANGED = {"unit_blocks": 8, "prefetch": 64}


def table_of(artifact, steps="rows1", changed=CHANGED, level=LEVEL):
    """Another configuration for every product of some rows, and none for others."""
    choices = read_choices(Artifact.open(artifact), "cpu")
    return table_with([one for one in choices if one.key.steps == steps], changed, level)


def table_with(choices, changed, arch):
    entries = [
        Entry(
            key=choice.key,
            configuration=choice.configuration | changed,
            time_s=1e-6,
            before_s=2e-6,
            least_s=None,
        )
        for choice in choices
    ]
    device = Device(name="some CPU", arch=arch, num_units=2)
    known = DeviceEntries(device=device, memory_bytes_per_s=None, entries=entries)
    return Table(devices=[known])
