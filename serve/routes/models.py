"""`/v1/models`: what may be asked for."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from ..front import Front
from ..schemas.openai import ModelCard, ModelList
from .describing import described
from .reading import json_response


def build_router(front: Front) -> APIRouter:
    """The routes, over a front."""
    router = APIRouter()

    @router.get("/v1/models", **described(None, ModelList))
    async def list_models(request: Request) -> Response:
        """Lists the names that may be asked for."""
        return json_response(ModelList([_card(front, name) for name in front.model.names]))

    @router.get("/v1/models/{name:path}", **described(None, ModelCard))
    async def get_model(request: Request, name: str) -> Response:
        """Describes one of them."""
        return json_response(_card(front, front.model.name(name)))

    return router


def _card(front: Front, name: str) -> ModelCard:
    return ModelCard(name, front.model.created_s, front.model.bounds.max_model_len)
