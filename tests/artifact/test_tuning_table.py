import pytest

from tapeout.artifact.tuning_table import (
    Device,
    DeviceEntries,
    Entry,
    Key,
    Table,
    merge,
    read_table,
    write_table,
)
from tapeout.errors import ArtifactError, InputError

H100 = Device(name="NVIDIA H100 80GB HBM3", arch="sm_90", num_units=132)
H200 = Device(name="NVIDIA H200", arch="sm_90", num_units=132)


def key(n, steps="decode1"):
    return Key(kernel="linear", shape=(n, 64), dtype="bf16", steps=steps, batch_invariant=False)


def entry(n, time_s, before_s=4.0, least_s=0.5):
    return Entry(
        key=key(n),
        configuration={"columns": n, "boxed": True},
        time_s=time_s,
        before_s=before_s,
        least_s=least_s,
    )


def table(device, *entries, rate=None):
    known = DeviceEntries(device=device, memory_bytes_per_s=rate, entries=list(entries))
    return Table(devices=[known])


def time_of(known, device):
    """The time of the one entry that a device is to have."""
    [entries] = [found.entries for found in known.devices if found.device == device]
    [found] = entries
    assert found.key == key(64)
    return found.time_s


def test_a_table_that_is_written_is_the_table_that_is_read(tmp_path):
    known = merge([table(H100, entry(64, 2.0), entry(32, 1.0)), table(H200, entry(64, 1.5))])
    write_table(known, tmp_path / "table.json")
    assert read_table(tmp_path / "table.json") == known
    assert [path.name for path in tmp_path.iterdir()] == ["table.json"]


def test_of_one_device_the_better_measured_entry_wins_whatever_the_order():
    slow, fast = table(H100, entry(64, 2.0)), table(H100, entry(64, 1.0))
    for tables in ([slow, fast], [fast, slow]):
        assert time_of(merge(tables), H100) == 1.0


def test_entries_of_other_devices_stand_side_by_side():
    merged = merge([table(H200, entry(64, 1.0)), table(H100, entry(64, 2.0))])
    assert time_of(merged, H100) == 2.0
    assert time_of(merged, H200) == 1.0


def test_merging_a_table_with_itself_changes_nothing():
    known = merge([table(H100, entry(64, 2.0), entry(32, 1.0), rate=3e12)])
    assert merge([known, known]) == known


def test_the_rooflines_before_and_after_follow_from_the_times():
    assert entry(64, 1.0).roofline == 0.5 and entry(64, 1.0).roofline_before == 0.125
    assert entry(64, 1.0, least_s=None).roofline is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"devices": [{}]}',
        b'{"unknown": 1}',
        b'{"version": 2}',
        b"\xff",
    ],
)
def test_a_bad_table_is_refused_with_its_name(tmp_path, text):
    (tmp_path / "table.json").write_bytes(text)
    with pytest.raises(ArtifactError, match=r"table\.json"):
        read_table(tmp_path / "table.json")


def test_a_time_that_is_none_is_refused(tmp_path):
    write_table(table(H100, entry(64, 2.0)), tmp_path / "table.json")
    text = (tmp_path / "table.json").read_text().replace('"time_s": 2.0', '"time_s": 0.0')
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(ArtifactError, match="time_s"):
        read_table(tmp_path / "table.json")


def test_a_missing_table_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(InputError, match="give a table"):
        read_table(tmp_path / "none.json")
