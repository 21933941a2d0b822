"""Recommend: a recommender that understands items by their text and ranks them by behaviour."""

from collections.abc import Callable, Sequence
from typing import Any

from core.vertical import Vertical, Wheel


def _commands() -> Any:
    from verticals.recommend.commands import recommend

    return recommend


def _routes() -> Any:
    from verticals.recommend.routes import router

    return router


def _tables() -> Any:
    from verticals.recommend.tables import metadata

    return metadata


def _imports() -> Any:
    from verticals.recommend.importing import FORMATS

    return FORMATS


def _prepare(report: Callable[[str], None]) -> None:
    from verticals.recommend.prepare import prepare

    prepare(report)


def _wheels() -> Sequence[Wheel]:
    from verticals.recommend.wheel import wheels

    return wheels()


vertical = Vertical(
    name="recommend",
    summary="scores candidates for a user by text and behaviour, with reasons",
    commands=_commands,
    routes=_routes,
    tables=_tables,
    dashboard="dashboards/recommend.py",
    port=8503,
    prepare=_prepare,
    imports=_imports,
    wheels=_wheels,
)
