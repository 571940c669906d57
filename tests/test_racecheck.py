from types import SimpleNamespace

import pytest
from racecheck import _instructions, _is_of_hand_over, races
from triton_attention import Attention

from tapeout import settings
from tapeout.codegen.triton.compile import compile_kernels
from tapeout.codegen.triton.kernel import Steps
from tapeout.codegen.triton.targets import TARGETS

TARGET = "cuda:sm_90"
REPORT = """\
Error: Race reported between Read access at kernel+{:#x}
    and Write access at kernel+{:#x} [4 hazards]"""


def test_a_race_is_told_unless_both_accesses_hand_work_over_to_warps():
    region = Attention(Steps("any", target=TARGETS[TARGET]), "bf16", h=8, hk=2, dim=64).attend
    [kernel] = region.emitted.kernels
    objects = settings.CACHE.get() / "objects"
    [made] = compile_kernels({"kernel": kernel}, TARGET, objects).values()
    code = made.cubin.read_bytes()
    cubin = SimpleNamespace(file="cubin", shared_bytes=made.shared_bytes)
    kernel = SimpleNamespace(name="kernel", cubin=cubin)
    target = SimpleNamespace(kernels=[kernel])
    artifact = SimpleNamespace(
        manifest=SimpleNamespace(targets={TARGET: target}), read=lambda file: code
    )
    shared = [at for at, text in _instructions(code).items() if text.startswith(("LDS", "STS"))]
    handed = [at for at in shared if _is_of_hand_over(artifact, kernel, at)]
    [data, *_] = [at for at in shared if at not in handed]
    assert len(handed) > 4
    assert not races(REPORT.format(handed[0], handed[-1]), artifact)
    with pytest.raises(AssertionError, match="killed"):
        races("killed", artifact)
    for pair in ((handed[0], data), (data, handed[0]), (data, data)):
        assert races(REPORT.format(*pair), artifact) == {tuple(("kernel", at) for at in pair)}
