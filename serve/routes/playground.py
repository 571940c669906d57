"""The page at `/`, and what it is told: how the engine stands, and what the artifact runs."""

import asyncio
import mimetypes
from pathlib import Path
from time import monotonic

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from ..api_errors import ApiError
from ..artifact_view import ModelView, view_artifact
from ..front import Front
from .describing import described
from .reading import json_response

_FOLDER = Path(__file__).parents[1] / "playground"
_HEADERS = {
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


class LoadView(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine stands, as it said last; counts go on from its start."""

    max_num_seqs: int
    num_running: int
    num_waiting: int
    num_kv_pages: int
    num_free_kv_pages: int
    num_steps: int
    num_tokens: int
    num_preemptions: int
    num_restarts: int


class StateView(msgspec.Struct, frozen=True):
    """How the server stands."""

    is_ready: bool
    time_s: float  # of a clock that only goes on, to make rates of counts
    load: LoadView | None  # None until the engine has told it


def build_router(front: Front) -> APIRouter:
    """The routes, over a front."""
    router = APIRouter()
    files = {path.name: _file(path) for path in _FOLDER.iterdir()}
    models: list[ModelView] = []

    @router.get("/", include_in_schema=False)
    async def page() -> Response:
        """The playground."""
        return files["index.html"]

    @router.get("/playground/load", **described(None, StateView))
    async def load() -> Response:
        """Tells how the server stands."""
        return json_response(StateView(front.is_ready, monotonic(), _load(front)))

    @router.get("/playground/model", **described(None, ModelView))
    async def model() -> Response:
        """Tells what the artifact runs."""
        served = front.model
        if not models:
            bounds = served.bounds
            models.append(
                await asyncio.to_thread(
                    view_artifact,
                    served.folder,
                    served.target,
                    served.names[0],
                    bounds.max_model_len,
                )
            )
        return json_response(models[0])

    @router.get("/playground/{name}", include_in_schema=False)
    async def file(request: Request, name: str) -> Response:
        """A file of the page's."""
        if name not in files:
            raise ApiError(404, "Not Found")
        return files[name]

    return router


def _file(path: Path) -> Response:
    kind = mimetypes.guess_type(path.name)[0]
    return Response(path.read_bytes(), headers=_HEADERS, media_type=kind)


def _load(front: Front) -> LoadView | None:
    load, hello = front.engine.load, front.engine.hello
    if load is None or hello is None:
        return None
    return LoadView(
        max_num_seqs=hello.max_num_seqs,
        num_restarts=front.engine.num_restarts,
        **msgspec.structs.asdict(load),
    )
