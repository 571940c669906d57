"""Verifies an artifact on the device at hand, as far as what is installed here allows."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from .. import __version__
from ..artifact import Artifact
from ..artifact.digests import digest_of
from ..artifact.schema import MANIFEST
from ..errors import ArtifactError, InputError
from ..runtime.cuda.executor import CudaExecutor
from ..runtime.load import LoadedModel, is_artifact
from ..runtime.player import PlayerError
from .certificate import Certificate
from .findings import Findings
from .graphs import check_graphs
from .load import load

Progress = Callable[[str, int, int], None]
_COMPILER = ("torch", "transformers")
_NO_CHECKPOINT = "give --checkpoint to compare with"
_NOT_INSTALLED = "{} is not installed; pip install 'tapeout[compile]'"


def verify(
    path: Path, checkpoint: Path | None = None, progress: Progress | None = None
) -> Certificate:
    """What was compared and found; nothing is written.

    With ``checkpoint`` weights are compared with it, and logits with transformers'. Raises
    InputError for what is no artifact or no checkpoint, CheckpointError for a damaged checkpoint,
    and CapacityError where the model does not fit here.
    """
    if not is_artifact(path):
        raise InputError(f"{path} is no artifact: it has no {MANIFEST}; give the folder of one")
    if checkpoint is not None and not checkpoint.is_dir():
        raise InputError(f"{checkpoint} is no folder; give a checkpoint on this disk")
    return _Verification(path, checkpoint, progress or (lambda stage, done, total: None)).run()


class _Verification:
    def __init__(self, path: Path, checkpoint: Path | None, progress: Progress) -> None:
        self.path, self.checkpoint, self.progress = path, checkpoint, progress
        self.findings = Findings()
        self.target: str | None = None
        self.device: str | None = None
        self.missing = next((name for name in _COMPILER if find_spec(name) is None), None)

    def run(self) -> Certificate:
        """Each check in turn; after a file that is not whole, none."""
        artifact = self._open()
        if artifact is not None:
            try:
                self._contents(artifact)
            except (ArtifactError, PlayerError) as error:  # of what was sealed with right digests
                self.findings.fault(str(error))
                self.findings.check("contents", "failed", "what comes after was not looked at")
        return self._certificate()

    def _contents(self, artifact: Artifact) -> None:
        self._weights(artifact)
        loaded = self._load(artifact)
        if loaded is not None:
            try:
                self._steps(artifact, loaded)
            finally:
                loaded.executor.close()

    def _open(self) -> Artifact | None:
        self.progress("hashes", 0, 1)
        try:
            artifact = Artifact.open(self.path)
        except ArtifactError as error:
            self.findings.fault(str(error))
            self.findings.check("hashes", "failed", "nothing else was looked at")
            return None
        self.findings.check(
            "hashes", "passed", f"{len(artifact.manifest.files)} files of the manifest"
        )
        return artifact

    def _weights(self, artifact: Artifact) -> None:
        if self.checkpoint is None or self.missing:
            missing = _NOT_INSTALLED.format(self.missing) if self.checkpoint else _NO_CHECKPOINT
            for name in ("weights", "files"):
                self.findings.check(name, "not done", missing)
        else:
            from .files import check_files
            from .weights import check_weights

            check_weights(artifact, self.checkpoint, self.findings, self.progress)
            check_files(artifact, self.checkpoint, self.findings)

    def _load(self, artifact: Artifact) -> LoadedModel | None:
        self.progress("load", 0, 1)
        try:
            loaded = load(artifact)
        except InputError as error:
            for name in ("kernels", "graphs", "logits"):
                self.findings.check(name, "not done", str(error))
            return None
        self.target, executor = loaded.target_name, loaded.executor
        if isinstance(executor, CudaExecutor):
            facts = executor.device.facts
            self.device = f"{facts.name}, driver {facts.driver}"
        else:
            self.device = f"CPU, {executor.level}"
        return loaded

    def _steps(self, artifact: Artifact, loaded: LoadedModel) -> None:
        if self.missing:
            for name in ("kernels", "logits"):
                self.findings.check(name, "not done", _NOT_INSTALLED.format(self.missing))
        else:
            from .numerics import check_numerics

            check_numerics(artifact, loaded, self.checkpoint, self.findings, self.progress)
        if isinstance(loaded.executor, CudaExecutor):
            check_graphs(loaded, self.findings, self.progress)
        else:
            self.findings.check("graphs", "not done", "there are none on a CPU")

    def _certificate(self) -> Certificate:
        findings = self.findings
        return Certificate(
            artifact=self.path.resolve().name,
            manifest_digest=digest_of((self.path / MANIFEST).read_bytes()),
            tapeout=__version__,
            target=self.target,
            device=self.device,
            checkpoint=None if self.checkpoint is None else self.checkpoint.resolve().name,
            passed=not findings.num_faults,
            checks=findings.checks,
            faults=findings.faults(),
            logits=findings.logits,
            layers=findings.layers(),
            kernels=findings.kernels(),
            thresholds=findings.thresholds,
        )
