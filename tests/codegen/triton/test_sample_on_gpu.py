"""The machine code of sampling is its definition, on rows that want all there is to want."""

import numpy as np
import pytest
import sampling_numpy
import torch
from sampling_rows import Row, operands, region_text
from triton_regions import VARIANTS, TritonRegion
from triton_sampling import check, mixed_row, run, tied_row

from tapeout.runtime.frame import Sampling

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("on_gpu")]


def rows_of(vocab_size, count, seed=0):
    """Rows over all features, and logits of every kind."""
    rng = np.random.default_rng(seed)
    rows = [mixed_row(rng, i, vocab_size) for i in range(count)]
    logits = torch.from_numpy(3 * rng.standard_normal((count, vocab_size)).astype(np.float32))
    logits[1::5] = logits[1::5].round()
    logits[2::5, vocab_size // 3] = 25.0
    return logits, rows


@pytest.mark.parametrize(("vocab_size", "count"), [(515, 300), (3001, 100), (128256, 10)])
def test_rows_of_all_features_are_those_of_the_interpreter(vocab_size, count):
    check(*rows_of(vocab_size, count))


def test_equal_scores_stay_together():
    check(*tied_row(3001))


def test_a_row_is_bitwise_equal_alone_and_among_others():
    logits, rows = rows_of(3001, 40, seed=1)
    region = TritonRegion(region_text(3001), VARIANTS[-1])

    def results(places):
        chosen = [rows[i] for i in places]
        arguments, sizes = operands(region.function.params, logits[places], chosen)
        return region.run(arguments, sizes)

    whole, again = results(range(40)), results(range(39, -1, -1))
    alone = [results([i]) for i in range(40)]
    ranked = [i for i in range(40) if int(whole[0][i]) >= 0]
    for place, result in enumerate(whole):
        assert torch.equal(result[ranked], again[place].flip(0)[ranked])
        assert torch.equal(result[ranked], torch.cat([one[place] for one in alone])[ranked])


def test_draws_have_the_probabilities_of_the_softmax():
    count, vocab_size = 2000, 3001
    logits = torch.randn(1, vocab_size, generator=torch.Generator().manual_seed(2)) * 2
    rows = [Row(Sampling(temperature=0.9, top_p=0.95, seed=seed)) for seed in range(count)]
    found, _ = run(logits.expand(count, -1).contiguous(), rows)
    wanted = sampling_numpy.probabilities(logits[0].numpy(), rows[0].sampling, [], 0)
    counts = np.bincount(found["tokens"].numpy(), minlength=vocab_size)
    assert (counts[wanted == 0] == 0).all()
    spread = np.sqrt(count * wanted * (1 - wanted)) + 1e-9
    assert (np.abs(counts - count * wanted) <= 5 * spread + 1).all()
