"""The record of an artifact as one page of HTML that needs nothing else.

`page/` holds the page as it is in a browser that would load its parts; here they are put into it.
What comes from the artifact is data alone: the page's own scripts, named by their digests in its
policy, put it into the page as text, and nothing else may run or be loaded.
"""

import gzip
import re
from base64 import b64encode
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template

import msgspec

from ..artifact import PASSES, Artifact
from .facts import ArtifactFacts
from .text import text_of

_FOLDER = Path(__file__).parent / "page"
_STYLE = re.compile(r'<link rel="stylesheet" href="([^"]+)">')
_SCRIPT = re.compile(r'<script src="([^"]+)"></script>')


class Texts(msgspec.Struct, frozen=True):
    """What is behind the folds of the page, by kernel."""

    math: dict[str, str]
    source: dict[str, str]
    assembly: dict[str, str]  # compressed by gzip, in base64


def render_page(artifact: Artifact, facts: ArtifactFacts) -> str:
    """The page. Raises ArtifactError."""
    data = {
        "facts": facts,
        "texts": {name: _texts(artifact, name) for name in facts.targets},
        "passes": _passes(artifact),
    }
    return _whole_page().substitute(
        title=escape(facts.name), text=escape(text_of(facts)), data=_as_script(data)
    )


def _texts(artifact: Artifact, target: str) -> Texts:
    kernels = artifact.manifest.targets[target].kernels
    listed = artifact.manifest.files
    return Texts(
        {kernel.name: kernel.math for kernel in kernels},
        {
            kernel.name: artifact.read(kernel.source).decode(errors="replace")
            for kernel in kernels
            if kernel.source in listed
        },
        {
            kernel.name: _in_base64(artifact.read(kernel.cubin.assembly))
            for kernel in kernels
            if kernel.cubin is not None
        },
    )


def _passes(artifact: Artifact) -> str | None:
    """What the passes did, packed as machine code is: the trace of a large model is long."""
    if PASSES not in artifact.manifest.files:
        return None
    return _in_base64(gzip.compress(msgspec.json.encode(artifact.passes()), mtime=0))


def _whole_page() -> Template:
    """The page with its style and scripts, and with places for what comes from an artifact."""
    scripts: list[str] = []

    def put_script(found: re.Match[str]) -> str:
        scripts.append((_FOLDER / found[1]).read_text())
        return f"<script>{_doubled(scripts[-1])}</script>"

    def put_style(found: re.Match[str]) -> str:
        return f"<style>{_doubled((_FOLDER / found[1]).read_text())}</style>"

    page = (_FOLDER / "report.html").read_text()
    page = _SCRIPT.sub(put_script, _STYLE.sub(put_style, page))
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return Template(page.replace("SCRIPT-DIGESTS", allowed))


def _doubled(text: str) -> str:
    """A text in which no dollar sign is a place of the template."""
    return text.replace("$", "$$")


def _digest(script: str) -> str:
    return _in_base64(sha256(script.encode()).digest())


def _in_base64(data: bytes) -> str:
    return b64encode(data).decode()


def _as_script(data: object) -> str:
    """JSON that no text in it can end: the page's parser looks for a `<` alone."""
    return msgspec.json.encode(data).decode().replace("<", "\\u003c")
