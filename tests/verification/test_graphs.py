"""Captured graphs against tapes."""

import pytest
from fake_cuda_model import TARGET, executor_of

from tapeout.artifact import Artifact
from tapeout.runtime.cuda.device import Device
from tapeout.runtime.load import LoadedModel
from tapeout.verification.findings import Findings
from tapeout.verification.graphs import check_graphs


def findings_of(folder):
    executor = executor_of(folder, capture_s=60.0)
    manifest = Artifact.open(folder).manifest
    loaded, findings = LoadedModel(folder, manifest, TARGET, executor.plan, executor), Findings()
    try:
        check_graphs(loaded, findings, lambda stage, done, total: None)
    finally:
        executor.close()
    return findings


def test_graphs_have_the_bits_of_tapes(model):
    findings = findings_of(model)
    assert findings.faults() == []
    [check] = findings.checks
    assert check.status == "passed" and " 6 sizes" in check.detail  # 1, 2, 3, 4, 7 and 8


@pytest.mark.parametrize(("tapes", "rows"), [(slice(0, 1), 0), (slice(0, 2), 1)])
def test_a_wrong_graph_is_named(model, monkeypatch, tapes, rows):
    """One without the sampling, or one for a row less."""
    add_graph = Device.add_graph

    def wrong(device, numbers, dims):
        if dims[0] == 4:
            numbers, dims = numbers[tapes], (dims[0], dims[1], dims[2] - rows, dims[3])
        return add_graph(device, numbers, dims)

    monkeypatch.setattr(Device, "add_graph", wrong)
    found = findings_of(model).faults()
    assert found and all("the graph for 4 sequences" in fault for fault in found[-2:])
    assert all("for 3 sequences" in fault or "for 4 sequences" in fault for fault in found)
