from fake_space import DEVICE, USUAL, key_of
from msgspec.structs import replace

from tapeout.artifact.tuning_table import DeviceEntries, Entry, Table
from tapeout.tuning.imported import configurations, imported_for

OTHER = replace(DEVICE, name="another of its kind")
FOREIGN = replace(DEVICE, arch="other")
LINEAR, ATTENTION = key_of("linear"), key_of("attention")


def known(device, depth, *keys):
    entries = [
        Entry(key=k, configuration=USUAL | {"depth": depth}, time_s=1, before_s=2, least_s=None)
        for k in keys
    ]
    return DeviceEntries(device=device, memory_bytes_per_s=None, entries=entries)


TABLE = Table(devices=[known(DEVICE, 1, LINEAR), known(OTHER, 2, LINEAR, ATTENTION)])


def test_what_was_best_on_the_device_itself_goes_before_what_was_on_one_like_it():
    found = configurations(TABLE, DEVICE)
    assert [found[key]["depth"] for key in (LINEAR, ATTENTION)] == [1, 2]
    assert configurations(TABLE, OTHER)[LINEAR]["depth"] == 2
    assert configurations(TABLE, FOREIGN) == {}


def test_configurations_for_kernels_of_the_artifact_are_counted():
    text = imported_for(TABLE, DEVICE, [LINEAR]).text()
    said = "2 of 3 imported configurations are for kernels of this artifact on "
    assert text == f"{said}{DEVICE.arch}: they are tried first"


def test_tables_of_another_model_or_device_come_with_a_remedy():
    other_model = imported_for(TABLE, DEVICE, [key_of("experts")]).text()
    assert other_model.startswith("none of 3 imported") and "kernels of other models" in other_model
    other_device = imported_for(TABLE, FOREIGN, [LINEAR]).text()
    assert f"the tables are for {DEVICE.arch}; import one of this model on such" in other_device
    nothing = imported_for(Table(), DEVICE, [LINEAR]).text()
    assert "none of 0" in nothing and "the tables are for nothing" in nothing


def test_what_is_no_candidate_of_its_kernel_is_not_said_to_be_tried():
    text = imported_for(TABLE, DEVICE, [LINEAR], [LINEAR]).text()
    assert text.endswith("they are tried first, but for 1 that are no candidates here")
