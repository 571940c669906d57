"""Logits that are off by chance are told from those that are off by a fault."""

import numpy as np
import pytest
import torch

from tapeout.verification import logits
from tapeout.verification.findings import Findings
from tapeout.verification.logits import Reference, check_logits, prompts_for

VOCAB_SIZE = 40


def reference(prompts, seed):
    generator = torch.Generator().manual_seed(seed)
    exact = [torch.randn(len(prompt), VOCAB_SIZE, generator=generator) for prompt in prompts]
    return Reference(exact, [rows.bfloat16().float() for rows in exact])


def findings_of(off_in, monkeypatch, findings=None):
    """Of steps whose rows of the long prompt are off in these of the tries."""
    sets = [prompts_for(VOCAB_SIZE, 500, seed) for seed in range(3)]
    tries, seen = [(prompts, reference(prompts, i)) for i, prompts in enumerate(sets)], []

    def given():
        for i, one in enumerate(tries):
            seen.append(i)
            yield one

    def prefill(_, prompts):
        i = sets.index(prompts)
        rows = [one.numpy().copy() for one in tries[i][1].rounded]
        rows[-1] *= np.float32(1.5 if i in off_in else 1)
        return [(place, 0, one) for place, one in enumerate(rows)]

    for name in ("_prefill", "_decode", "_mixed"):
        monkeypatch.setattr(logits, name, prefill)
    findings = findings or Findings()
    check_logits(None, given(), findings)
    return findings, seen


@pytest.mark.parametrize("off_in", [set(), {0}, {0, 1}])
def test_a_choice_of_a_router_that_falls_otherwise_is_no_fault(off_in, monkeypatch):
    findings, seen = findings_of(off_in, monkeypatch)
    assert findings.faults() == [] and findings.checks[-1].status == "passed"
    assert len(findings.logits) == 3 and all(error.passed for error in findings.logits)
    assert seen == list(range(len(off_in) + 1))
    assert ("sets of prompts" in findings.checks[-1].detail) == bool(off_in)


def test_what_is_off_with_all_prompts_is_a_fault_of_each_kind_of_step(monkeypatch):
    findings, seen = findings_of({0, 1, 2}, monkeypatch)
    assert [fault.split(" steps")[0] for fault in findings.faults()] == [
        "logits of prefill",
        "logits of decode",
        "logits of mixed",
    ]
    assert seen == [0, 1, 2] and findings.checks[-1].status == "failed"


def test_where_a_fault_was_found_before_logits_are_compared_once(monkeypatch):
    found = Findings()
    found.fault("a kernel is wrong")
    _, seen = findings_of({0, 1, 2}, monkeypatch, found)
    assert seen == [0] and len(found.faults()) == 4
