"""Is it alive, can it answer, and how much did it do."""

import asyncio
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text

from core.api.access import identify, require
from core.api.problems import Unavailable, documented
from core.api.schemas import Health, Readiness

router = APIRouter(tags=["operation"])


@router.get("/healthz", response_model=Health, summary="Is the process alive?")
async def healthz() -> Any:
    """Answers as long as the process does; needs no key."""
    return {"status": "ok"}


@router.get("/readyz", response_model=Readiness, summary="Can requests be answered?", responses=documented(503))
async def readyz(request: Request) -> Any:
    """503 when the database cannot be reached. An application that cannot be loaded is named, with its reason.

    Needs no key; reasons are told to known callers only.
    """
    state = request.app.state
    try:
        await asyncio.to_thread(_ping, state.engine)
    except Exception:
        raise Unavailable("The database cannot be reached.", 5) from None
    known = await identify(request) is not None  # without a key, names and reasons stay untold
    applications = {
        name: {"status": "failed" if reason else "ready", "reason": reason if known else None}
        for name, reason in state.applications.items()
    }
    models = {name: {"status": status} for name, status, _ in state.pool.states()}
    failed = any(part["status"] == "failed" for part in [*applications.values(), *models.values()])
    return {"status": "degraded" if failed else "ready", "applications": applications, "models": models}


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **documented(401)},
    dependencies=[Depends(require())],
)
async def metrics(request: Request) -> Response:
    """Requests by route template and status, latency in seconds, texts waiting and state of each model.

    Also the worker, the age of each job, and what waits.
    """
    text = await asyncio.to_thread(request.app.state.metrics.text)  # it asks the database
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _ping(engine: Any) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
