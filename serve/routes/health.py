"""How the server is: whether it lives, whether it would answer, what it has done."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from ... import __version__
from ..front import Front
from ..gate import OPEN_TO_ALL


def build_router(front: Front) -> APIRouter:
    """The routes, over a front."""
    router = APIRouter()

    @router.get(OPEN_TO_ALL)
    async def live() -> Response:
        """Answers as long as this process does: of no use to a client."""
        return JSONResponse({"status": "live"})

    @router.get("/ready")
    @router.get("/health")
    async def ready() -> Response:
        """200 if a request would be answered now, else 503."""
        status = "draining" if front.is_draining else "ready" if front.is_ready else "loading"
        return JSONResponse({"status": status}, 200 if front.is_ready else 503)

    @router.get("/metrics")
    async def metrics() -> Response:
        """Prometheus's text, of all fronts and the engine."""
        return Response(front.metrics.render(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/version")
    async def version() -> Response:
        """The version of tapeout."""
        return JSONResponse({"version": __version__})

    return router
