import random

import pytest

from tapeout.tuning.cpu_space import CpuSpace


@pytest.mark.parametrize("name", ["gemma2", "gpt2", "gpt_oss", "qwen3_moe"])
def test_candidates_of_other_architectures_give_the_bits_of_our_own_choice(artifact_of, name):
    space = CpuSpace(artifact_of(name, "float32"), num_threads=2)
    try:
        works = space.works()
        for work in random.Random(0).sample(works, 2):
            drawn = random.Random(1).sample(space.candidates(work), 3)
            built = [one.result() for one in space.compile(work, [work.configuration, *drawn])]
            assert [space.wrong(work, one) for one in built] == [None] * 4
    finally:
        space.close()
