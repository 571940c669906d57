"""Products by blocks that stay: what they compute, and what is compiled for Hopper."""

import gzip
from dataclasses import replace

import pytest
import torch
from persistent_products import ANY, RESIDUAL, TARGET, TEXTS, arguments_of, text_of
from region_kernels import relative_error
from triton_regions import TritonRegion

from tapeout import settings
from tapeout.codegen.triton.choice import fields_of, legal_candidates
from tapeout.codegen.triton.compile import compile_kernels
from tapeout.codegen.triton.emit import emit_region, gpu_key
from tapeout.codegen.triton.kernel import grid_of
from tapeout.codegen.triton.persistent_tiles import PERSISTENT, PERSISTENT_FORMS, Persistent
from tapeout.codegen.triton.targets import TARGETS
from tapeout.codegen.triton.tiles import NUM_MULTIPROCESSORS
from tapeout.errors import BuildError
from tapeout.ir.parser import parse_function
from tapeout.ir.types import Dim


def emitted(name="biased", form=None, n=4096, k=2048, dtype="bf16", steps=ANY, text=None):
    function = parse_function(text or text_of(name, n, k, dtype))
    return emit_region(function, steps, {gpu_key(function, steps): fields_of(form)} if form else {})


@pytest.mark.parametrize(("name", "dtype"), [*((name, "bf16") for name in TEXTS), ("gated", "f16")])
def test_its_machine_code_keeps_all_in_registers_and_moves_16_bytes_at_a_time(name, dtype):
    [kernel] = emitted(name, k=4096 + 64, dtype=dtype).kernels
    [made] = compile_kernels({"kernel": kernel}, TARGET, settings.CACHE.get() / "objects").values()
    code = gzip.decompress(made.assembly.read_bytes()).decode()
    assert made.local_bytes == 0 and made.shared_bytes <= TARGETS[TARGET].shared_bytes
    assert "wgmma.mma_async" in code and "cp.async.bulk.tensor.2d" in code
    assert "st.global.v4" in code
    assert "st.global.b16" not in code and "st.global.b32" not in code


@pytest.mark.parametrize("tokens", [1, 300, 1025])
@pytest.mark.parametrize("name", TEXTS)
def test_a_product_by_blocks_that_stay_is_that_of_the_interpreter(name, tokens):
    torch.manual_seed(0)
    region = TritonRegion(text_of(name, 768, 640), ANY, fields_of(PERSISTENT))
    arguments = arguments_of(region.function, tokens)
    [found] = region.run(arguments, {"T": tokens})
    [wanted] = region.reference(arguments, {"T": tokens})
    assert relative_error(found, wanted) <= 8e-3


@pytest.mark.parametrize(("name", "n"), [("gated", 14336), ("biased", 6144), ("gelu", 16384)])
def test_steps_of_any_size_have_it_and_those_of_some_rows_do_not(name, n):
    choice = emitted(name, n=n, k=4096).choice
    assert choice.chosen == PERSISTENT and "blocks stay" in choice.rule
    assert choice.others and all(choice.others.values()) and PERSISTENT not in choice.others
    few = emitted(name, n=n, k=4096, steps=replace(ANY, max_rows=1024)).choice
    assert not isinstance(few.chosen, Persistent)


@pytest.mark.parametrize(("name", "columns"), [("gated", 128), ("biased", 256)])
def test_a_record_says_the_tiles_that_its_blocks_take_in_turn(name, columns):
    [kernel] = emitted(name, n=6144).kernels
    assert kernel.tiles == grid_of((Dim.of("T"), 192, 1), 6144 // columns)
    assert kernel.grid == grid_of(NUM_MULTIPROCESSORS)


def test_it_is_only_for_what_its_tiles_fit():
    residual = RESIDUAL.format(d="bf16", n=4096, k=2048)
    logits = text_of("biased", 4096, 2048).replace("[T,", "[R,")
    for case, said in [
        ({"steps": replace(ANY, target=TARGETS["cuda:sm_100"])}, "no such form"),
        ({"steps": replace(ANY, target=None)}, "no such form"),
        ({"steps": replace(ANY, batch_invariant=True)}, "would be another"),
        ({"steps": replace(ANY, max_rows=1024)}, "any number of rows"),
        ({"dtype": "f32"}, "floats of 16 bits"),
        ({"text": residual}, "no such form"),
        ({"text": logits}, "no such form"),
        ({"n": 4000}, "no whole tiles"),
        ({"k": 2080}, "no whole steps"),
        ({"k": 256}, "too few steps"),
        ({"form": Persistent(0)}, "a row of tiles"),
    ]:
        with pytest.raises(BuildError, match=said):
            emitted(**{"form": PERSISTENT} | case)


def test_a_search_tries_its_groups_for_steps_of_any_size_alone():
    problem = emitted().choice.problem
    few = replace(problem, rows=1024)
    for one, tried in ((problem, set(PERSISTENT_FORMS) - {PERSISTENT}), (few, set())):
        found = legal_candidates(one, TARGETS[TARGET])
        assert {form for form in found if isinstance(form, Persistent)} == tried
