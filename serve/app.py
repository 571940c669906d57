"""The app of a front: its routes, behind the gate."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from .. import __version__
from ..errors import TapeoutError, shown
from .api_errors import ApiError, as_api_error, error_response
from .front import Front
from .gate import App, Gate
from .routes import (
    chat,
    completions,
    describing,
    health,
    messages,
    models,
    playground,
    responses,
    tokens,
)

_ROUTERS = (completions, chat, responses, messages, models, tokens, health, playground)

_log = logging.getLogger(__name__)


def build_app(front: Front) -> App:
    """Everything that is served, as one ASGI app."""
    app = FastAPI(title="tapeout", version=__version__, docs_url=None, redoc_url=None)
    for module in _ROUTERS:
        app.include_router(module.build_router(front))
    app.add_exception_handler(TapeoutError, _refused)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(Exception, _failed)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    gate = Gate(app, front)
    origins = front.options.allowed_origin
    return (
        CORSMiddleware(gate, origins, allow_methods=["*"], allow_headers=["*"]) if origins else gate
    )


async def _refused(request: Request, error: Exception) -> Response:
    return error_response(as_api_error(error), request.url.path)


async def _not_found(request: Request, error: Exception) -> Response:
    """A path or a method that is not there."""
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {shown(request.url.path)}"
    text = f"{asked}: {error.detail}; GET /openapi.json has what is served"
    return error_response(ApiError(error.status_code, text), request.url.path)


async def _failed(request: Request, error: Exception) -> Response:
    _log.error("a request failed by a fault of the server", exc_info=error)
    return error_response(as_api_error(error), request.url.path)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas |= describing.components()
        app.openapi_schema = document
    return app.openapi_schema
