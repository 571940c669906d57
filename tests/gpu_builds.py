"""Compiles tiny models for a GPU, several at once."""

import os
import subprocess
import sys

from locked import locked

GPU_TARGET = "cuda:sm_90"
_COMPILE = """
import sys
from tapeout import compile_model
checkpoint, output, target, invariant = sys.argv[1:]
options = {"target": target, "dtype": "bfloat16", "batch_invariant": invariant == "True"}
compile_model(checkpoint, output, **options)
"""


class GpuBuilds:
    """Artifacts of tiny models in bf16 for a GPU.

    The first worker of a run that comes here compiles all that are wanted, at once; others wait.
    """

    def __init__(self, folder, checkpoint_of, names, batch_invariant):
        self._folder, self._suffix = folder, "-invariant" * batch_invariant
        environment = os.environ | {"TAPEOUT_CHECK_PASSES": "0"}
        running = []
        with locked(folder / f"gpu{self._suffix}"):
            for name in names:
                if self(name).exists():
                    continue
                command = [sys.executable, "-c", _COMPILE, checkpoint_of(name), self(name)]
                command += [GPU_TARGET, str(batch_invariant)]
                running.append(subprocess.Popen(command, stderr=subprocess.PIPE, env=environment))
            said = [job.communicate()[1].decode() for job in running]
        failed = [text[-2000:] for job, text in zip(running, said, strict=True) if job.returncode]
        assert not failed, "\n".join(failed)

    def __call__(self, name):
        return self._folder / f"{name}-gpu{self._suffix}.tapeout"
