"""Compiles tiny models for a GPU, several at once."""

import os
import subprocess
import sys

GPU_TARGET = "cuda:sm_90"
_COMPILE = """
import sys
from tapeout import compile_model
checkpoint, output, target, invariant = sys.argv[1:]
options = {"target": target, "dtype": "bfloat16", "batch_invariant": invariant == "True"}
compile_model(checkpoint, output, **options)
"""


class GpuBuilds:
    """Artifacts of tiny models in bf16 for a GPU; all that are wanted are compiled at once."""

    def __init__(self, folder, checkpoint_of, names, batch_invariant):
        self._folder, self._suffix = folder, "-invariant" * batch_invariant
        environment = os.environ | {"TAPEOUT_CHECK_PASSES": "0"}
        self._running = {}
        for name in names:
            command = [sys.executable, "-c", _COMPILE, checkpoint_of(name)]
            command += [self._output(name), GPU_TARGET, str(batch_invariant)]
            job = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
            self._running[name] = job

    def __call__(self, name):
        if name in self._running:
            job = self._running.pop(name)
            _, said = job.communicate()
            assert job.returncode == 0, said.decode()[-2000:]
        return self._output(name)

    def _output(self, name):
        return self._folder / f"{name}-gpu{self._suffix}.tapeout"
