import os
import signal
import threading
import time
from hashlib import sha256

import numpy as np
import pytest
from fake_cuda_model import TARGET, counted, with_weights

from tapeout.artifact import Artifact, TensorSpec
from tapeout.errors import ArtifactError
from tapeout.runtime.cuda import weights
from tapeout.runtime.cuda.device import Device
from tapeout.runtime.cuda.weights import CHUNK_BYTES, place_weights, stream_weights
from tapeout.runtime.weights import weights_bytes

SIZES = [60, CHUNK_BYTES + 1, 1, 3 * CHUNK_BYTES, CHUNK_BYTES - 64, 4096, 64]


@pytest.fixture(scope="module")
def artifact(fake_cuda, tmp_path_factory):
    """Weights that begin and end anywhere in the chunks of two files."""
    random = np.random.default_rng(0)
    data = {
        TensorSpec(f"w/{i}", "U8", (n,)): random.integers(0, 255, n, np.uint8)
        for i, n in enumerate(SIZES)
    }
    path = tmp_path_factory.mktemp("weights") / "big.tapeout"
    return with_weights(path, fake_cuda[0], data, 3 * CHUNK_BYTES)


def load(path, num_threads):
    artifact = Artifact.open(path, verify_weights=False)
    target = artifact.manifest.targets[TARGET]
    device = Device(artifact.file_path(target.player))
    try:
        device.start()
        base = device.allocate(weights_bytes(target), "the weights")
        addresses = place_weights(target, base)
        stream_weights(device, artifact, TARGET, addresses, num_threads)
        for name, tensor in target.weights.tensors.items():
            found = np.empty(tensor.bytes, np.uint8)
            device.copy_out(found, addresses[name])
            device.synchronize()
            assert np.array_equal(found, artifact.weight(TARGET, name)), name
    finally:
        device.close()


@pytest.mark.parametrize("num_threads", [1, 2, 7, 100])
def test_every_weight_arrives_whatever_chunks_it_lies_in(driver, artifact, num_threads):
    load(artifact, num_threads)


def test_a_flipped_bit_is_found_while_streaming(driver, artifact, tmp_path):
    names = {
        t.file for t in Artifact.open(artifact).manifest.targets[TARGET].weights.tensors.values()
    }
    assert len(names) > 1
    file = artifact / max(names)
    text = file.read_bytes()
    file.write_bytes(text[:-100] + bytes([text[-100] ^ 4]) + text[-99:])
    try:
        with pytest.raises(ArtifactError, match=f"{file.name}: digest"):
            load(artifact, 3)
    finally:
        file.write_bytes(text)


def slow_after(first):
    """A hash that takes long, and does something else the first time."""
    firsts = iter([first])

    def hash_slowly(data):
        next(firsts, int)()
        time.sleep(0.1)
        return sha256(data)

    return hash_slowly


def interrupted():
    os.kill(os.getpid(), signal.SIGINT)


def failed():
    raise InterruptedError("as was asked for")


def test_an_interrupt_ends_the_stream_and_leaves_no_thread_behind(driver, artifact, monkeypatch):
    num_threads = threading.active_count()
    monkeypatch.setattr(weights, "sha256", slow_after(interrupted))
    before = counted(driver, "copies_in")
    with pytest.raises(KeyboardInterrupt):
        load(artifact, 2)
    assert threading.active_count() == num_threads and counted(driver, "live") == 0
    assert counted(driver, "copies_in") - before <= 6  # of ten


def test_an_error_ends_the_stream_with_the_chunks_that_are_under_way(driver, artifact, monkeypatch):
    monkeypatch.setattr(weights, "sha256", slow_after(failed))
    before = counted(driver, "copies_in")
    with pytest.raises(InterruptedError):
        load(artifact, 2)
    assert counted(driver, "copies_in") - before <= 4  # of ten
