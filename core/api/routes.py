"""Models over HTTP: what there is, labels for texts, vectors for texts."""

import asyncio
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request

from core.api.pool import Pool
from core.api.problems import documented
from core.api.schemas import EmbedRequest, EmbedResponse, ModelsResponse, PredictRequest, PredictResponse
from core.api.served import Embedding, Served
from core.errors import InputError
from core.serving.predictor import Prediction

router = APIRouter(prefix="/v1", tags=["models"])


def _pool(request: Request) -> Pool:
    return request.app.state.pool


PoolOf = Annotated[Pool, Depends(_pool)]


@router.get("/models", response_model=ModelsResponse, summary="List the models")
async def models(pool: PoolOf) -> Any:
    """Registered models, those that ship, and the installed backbones, by name."""
    return {"models": [row.to_dict() for row in await asyncio.to_thread(pool.catalogue.list)]}


@router.post("/predict", response_model=PredictResponse, summary="Label texts", responses=documented(404))
async def predict(wanted: PredictRequest, pool: PoolOf, request: Request) -> Any:
    """Labels with calibrated probabilities, relevance of pairs, or replies, by the model's task.

    Texts of many callers are computed together. The first request for a model waits until it is loaded.
    """
    served = await pool.get(wanted.model)
    items = [text if isinstance(text, str) else (text[0], text[1]) for text in wanted.texts]
    served.check(items)
    found: list[Prediction] = await served.ask(items)
    if served.task == "classification" and wanted.model == served.source.name:  # the one in use, not a version by name
        request.app.state.shadow.offer(served.source.name, served.source.version, items, found)
    return {"model": _used(served), "predictions": [_prediction(p, wanted.top, served.task) for p in found]}


@router.post("/embed", response_model=EmbedResponse, summary="Turn texts into vectors", responses=documented(404))
async def embed(wanted: EmbedRequest, pool: PoolOf) -> Any:
    """Unit-length vectors by a backbone or a model tuned for matching."""
    served = await pool.get(wanted.model)
    if not served.embeds:
        raise InputError(f"{served.source.name} gives predictions, not vectors; use /v1/predict.")
    vectors = await served.ask([Embedding(text, wanted.kind == "passage") for text in wanted.texts])
    table = np.round(np.stack(vectors).astype(np.float64), 7)
    return {"model": _used(served), "dimension": table.shape[1], "vectors": table.tolist()}


def _used(served: Served) -> dict[str, Any]:
    return {"name": served.source.name, "version": served.source.version, "task": served.task}


def _prediction(found: Prediction, top: int, task: str) -> dict[str, Any]:
    best = sorted(found.probabilities.items(), key=lambda pair: -pair[1])[:top]
    return {
        "label": found.label,
        "probability": None if task == "generation" else found.probability,
        "probabilities": dict(best),
        "truncated": found.truncated,
    }
