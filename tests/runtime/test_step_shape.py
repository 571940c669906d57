import pytest
from fake_cuda_model import build_fake_cuda
from fake_steps import frame_of

from tapeout.artifact import Artifact
from tapeout.runtime.step_shape import decode_shape, prompt_shape


@pytest.mark.parametrize(
    ("shape", "frame"),
    [
        (decode_shape(3, 20), frame_of([[1] * 21] * 3, [20] * 3)),
        (prompt_shape(2, 9), frame_of([[1] * 9] * 2, rows=[8, 17])),
        (prompt_shape(1, 9, 30), frame_of([[1] * 39], [30], rows=[8])),
    ],
)
def test_a_shape_has_the_sizes_of_such_a_step(shape, frame):
    assert shape.dims[:3] == frame.dims[:3]
    assert shape.query_start.tolist() == frame.query_start.tolist()
    assert shape.context_lengths.tolist() == frame.context_lengths.tolist()


def test_a_step_runs_the_first_tape_that_takes_it(tmp_path):
    artifact = Artifact.open(build_fake_cuda(tmp_path / "fake.tapeout", b""))
    described = artifact.described("cuda:sm_90")
    sample = described.tapes["sample.any"].launches
    for shape, tape in ((decode_shape(2, 5), "step.decode2"), (decode_shape(3, 5), "step.any")):
        assert described.choose("step", shape.dims[0], True) is described.tapes[tape]
        assert shape.launches(described) == [*described.tapes[tape].launches, *sample]
    assert described.choose("step", 2, False) is described.tapes["step.any"]
