"""What a CPU can do is measured while it does other things, too."""

from types import SimpleNamespace

import numpy as np
import pytest

from tapeout.tuning import cpu_probe
from tapeout.tuning.cpu_probe import CpuProbe


class BusyPlayer:
    """Runs a kernel in its own time in each tenth round; in others something else takes the CPU."""

    now_s, num_rounds = 0.0, 0

    def __init__(self, *_):
        """As a player is made."""

    def add_tape(self, launches):
        [[(count, *_)]] = [launch.scalars for launch in launches]
        return count

    def run(self, count, dims):
        """A thousand units of a kernel take a millisecond."""
        BusyPlayer.num_rounds += 1
        BusyPlayer.now_s += count / 1e6 + 0.004 * (BusyPlayer.num_rounds % 10 > 0)


@pytest.fixture
def probe(monkeypatch):
    monkeypatch.setattr(cpu_probe, "Player", BusyPlayer)
    monkeypatch.setattr(cpu_probe, "build_trial", lambda *_: None)
    monkeypatch.setattr(cpu_probe, "allocate", lambda num_bytes, purpose: np.zeros(64, np.uint8))
    monkeypatch.setattr(cpu_probe, "time", SimpleNamespace(perf_counter=lambda: BusyPlayer.now_s))
    return CpuProbe(None, "x86-64-v3", 2)


def test_the_rate_of_products_is_that_of_a_round_that_nothing_disturbed(probe):
    rates = probe.flops_per_s()
    assert rates["f32"] == pytest.approx(1e6 * 2 * 12 * 32 * 128, rel=0.01)
