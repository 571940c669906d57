"""Verification of some tapes of an artifact that is loaded."""

from tapeout.artifact import Artifact
from tapeout.verification.findings import Findings
from tapeout.verification.kernels import check_kernels
from tapeout.verification.subject import Subject


def findings_of(folder, loaded, tapes):
    """Of the kernels in these tapes alone."""
    subject, findings = Subject(Artifact.open(folder), loaded), Findings()
    subject.tapes = {name: subject.tapes[name] for name in tapes}
    check_kernels(subject, findings, lambda stage, done, total: None)
    return findings
