import pytest
from fake_cuda_model import build_fake_cuda
from msgspec.structs import replace

from tapeout.artifact import Artifact
from tapeout.runtime.cuda.card_limits import CARDS
from tapeout.runtime.limits import Limits
from tapeout.runtime.plan_report import Device, plan_target
from tapeout.runtime.plan_text import plans_text


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """Of two devices, of which the first has too few pages for some steps."""
    artifact = Artifact.open(build_fake_cuda(tmp_path_factory.mktemp("fake") / "fake.tapeout", b""))
    model, described = artifact.manifest.model, artifact.described("cuda:sm_90")
    limits = Limits(max_num_seqs=4, max_model_len=100)
    plans = []
    for name, memory_bytes in (("small", 252_000), ("large", 10**9)):
        facts = {"limits": CARDS["h100"].limits, "assumed": f"as {name} as said"}
        device = Device(name=name, memory_bytes=memory_bytes, **facts)
        plans.append(plan_target("cuda:sm_90", model, described, device, limits, (5, 90)))
    return plans


@pytest.fixture(scope="module")
def table(plans):
    """Their lines."""
    return plans_text(plans).splitlines()


def test_each_target_on_each_device_has_a_column(table):
    assert [row.split() for row in table[:2]] == [["cuda:sm_90"] * 2, ["small", "large"]]
    assert table[-2:] == ["small: as small as said", "large: as large as said"]
    ends = {len(line) for line in table[2:20] if line.startswith("  ")}
    assert len(ends) == 1


def test_steps_stand_in_the_order_of_their_sizes_with_gaps_where_pages_are_missing(table):
    steps = [line.split() for line in table if " after " in line and line.startswith("  ")]
    named = [(int(words[0]), int(words[2])) for words in steps]
    assert named == [(1, 5), (1, 90), (2, 5), (2, 90), (4, 5), (4, 90)]
    missing = [name for name, words in zip(named, steps, strict=True) if words[-2] == "-"]
    assert missing and missing[-1] == (4, 90) and steps[0][-2] != "-"


def test_kernels_have_their_launches_and_all_of_a_steps_time_but_little(table):
    start = table.index("kernels, 1 after 5 tokens, us")
    rows = [line.split() for line in table[start + 1 : table.index("", start)]]
    assert all(row[1] == "x" for row in rows) and len(rows) == 4
    [step] = [line.split() for line in table if line.startswith("  1 after 5 ")]
    assert sum(float(row[-1]) for row in rows) == pytest.approx(1e3 * float(step[-1]), abs=0.6)


def test_a_kernel_that_is_told_of_one_device_is_told_of_all_that_run_it(plans):
    first, second = plans
    [step, *_] = second.decode
    little = [replace(row, share=0.001) for row in step.kernels]
    fast = replace(second, decode=[replace(step, kernels=little)], prompts=[])
    rows = plans_text([replace(first, prompts=[]), fast]).splitlines()
    start = rows.index("kernels, 1 after 5 tokens, us")
    told = [row.split() for row in rows[start + 1 : rows.index("", start)]]
    assert len(told) == 4 and all("-" not in row for row in told)
