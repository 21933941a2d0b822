"""The application: the core's routes, and those of every installed vertical that can be loaded."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import iter_route_contexts
from prometheus_client.core import Metric
from sqlalchemy.exc import SQLAlchemyError

from core import vertical as contract
from core.api import health, openapi, problems, routes, session, state
from core.api.access import Access, require
from core.api.catalogue import Catalogue
from core.api.config import ApiSettings, rate_of, read_config
from core.api.deadline import Deadline
from core.api.keys import Keys
from core.api.logs import logger, where
from core.api.metrics import Metrics
from core.api.middleware import Around, Limits
from core.api.pool import Pool
from core.api.texts import clean
from core.api.traced import Traced
from core.errors import InputError
from core.operations.shadow import Shadow, read_settings, registered_challenger
from core.operations.status import status
from core.operations.tracing import Tracing
from core.settings import Settings, get_settings


def create_app(
    settings: Settings | None = None,
    verticals: Sequence[contract.Vertical] | None = None,
    config: ApiSettings | None = None,
    catalogue: Catalogue | None = None,
    tracing: Tracing | None = None,
) -> FastAPI:
    """The API on this database and these models; ``verticals`` are those installed unless given.

    ``tracing``: where spans go, if anywhere. A vertical that cannot be loaded is left out, and ``/readyz`` says why.
    """
    settings, config = settings or get_settings(), config or read_config()
    keys = Keys.open(settings)
    pool = Pool(catalogue or Catalogue(settings), config)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await pool.close()
        await asyncio.to_thread(app.state.shadow.close)
        if tracing is not None:
            await asyncio.to_thread(tracing.close)

    # The viewers of /docs would be fetched from a foreign server; /openapi.json can be opened in any of them.
    app = FastAPI(title="Headwater", docs_url=None, redoc_url=None, lifespan=lifespan, dependencies=[Depends(clean)])
    app.state.engine, app.state.access = keys.engine, Access(keys)
    app.state.settings = settings
    app.state.verticals = None if verticals is None else {one.name: lambda one=one: one for one in verticals}
    app.state.pool, app.state.metrics = pool, Metrics(pool.states, lambda: _figures(app))
    app.state.shadow = Shadow(registered_challenger(settings), settings.var / "shadow", read_settings())
    app.state.applications = {}
    problems.install(app)
    app.include_router(health.router)
    app.include_router(session.router)
    app.include_router(state.router)
    app.include_router(routes.router, dependencies=[Depends(require())])
    for name, router in _routers(verticals, app.state.applications).items():
        app.include_router(router, tags=[name], dependencies=[Depends(require())])
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    # The last one added is the outermost.
    own_limits = {
        found.path: limit
        for found in iter_route_contexts(app.routes)
        if found.path and (limit := getattr(found, "max_body_size", None)) is not None
    }
    app.add_middleware(Limits, rate_of(config.rate), config.rate_storage, config.body_limit, own_limits)
    app.add_middleware(Deadline, seconds=config.answer_timeout_s)
    app.add_middleware(Around, metrics=app.state.metrics)
    if tracing is not None:
        app.add_middleware(Traced, tracing=tracing)
    return app


def _figures(app: FastAPI) -> Iterable[Metric]:
    """How the worker and the queues are; nothing while the database is away, which /readyz tells."""
    try:
        found = status(app.state.engine, app.state.settings, verticals=app.state.verticals, training=False)
    except SQLAlchemyError:
        return ()
    return state.gauges(found)


def _routers(verticals: Sequence[contract.Vertical] | None, reasons: dict[str, str | None]) -> Mapping[str, APIRouter]:
    """Routers by vertical; ``reasons`` gets every vertical's name, and what went wrong or None."""
    given = None if verticals is None else {vertical.name: vertical for vertical in verticals}
    found = {}
    for name in contract.installed() if given is None else given:
        try:
            router = _router(contract.load(name) if given is None else given[name])
        except Exception as error:
            reasons[name] = str(error) or type(error).__name__
            logger().error("application left out", application=name, reason=reasons[name], **where(error))
            continue
        reasons[name] = None
        if router is not None:
            found[name] = router
    return found


def _router(vertical: contract.Vertical) -> APIRouter | None:
    router: Any = vertical.routes() if vertical.routes is not None else None
    if router is None:
        return None
    own = f"/v1/{vertical.name}/"
    outside = [found.path for found in iter_route_contexts(router.routes) if not f"{found.path}/".startswith(own)]
    if outside:
        raise InputError(f"{outside[0]} is not under /v1/{vertical.name}; give the router that prefix.")
    return router
