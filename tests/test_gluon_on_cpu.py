from dataclasses import replace

import gluon_memory
import gluon_on_cpu
import pytest
import torch
from persistent_products import ANY, arguments_of, text_of

from tapeout.codegen.triton.choice import fields_of
from tapeout.codegen.triton.emit import emit_region, gpu_key
from tapeout.codegen.triton.persistent_tiles import PERSISTENT
from tapeout.ir.parser import parse_function

NOTHING = "(lambda *_, **__: None)"
FAULTS = {
    "a copy that is not told of": ("mbarrier.expect(barrier,", f"{NOTHING}(barrier,"),
    "a slot that is not given back": ("count=1)\n    return sums", "count=0)\n    return sums"),
    "a slot that is given back twice": ("count=1)\n    return sums", "count=2)\n    return sums"),
    "nobody waits for copies": ("mbarrier.wait(ready.index(slot)", f"{NOTHING}(ready"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_of_barriers_is_an_error_or_nan(monkeypatch, fault):
    monkeypatch.setattr(gluon_memory, "SECONDS", 0.5)
    function = parse_function(text_of("biased", 512, 640))
    tuned = {gpu_key(function, ANY): fields_of(PERSISTENT)}
    [kernel] = emit_region(function, ANY, tuned).kernels
    before, after = FAULTS[fault]
    planted = replace(kernel, body=kernel.body.replace(before, after))
    assert planted != kernel
    result = torch.zeros(500, 512, dtype=torch.bfloat16)
    try:
        gluon_on_cpu.run(planted, [*arguments_of(function, 500), result], [500], [3])
    except AssertionError as error:
        assert "barrier" in str(error)
    else:
        assert result.isnan().any()
