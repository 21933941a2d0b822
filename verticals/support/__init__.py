"""Support: the bot with retrieval, for support agents."""

from collections.abc import Callable
from typing import Any

from core.vertical import Vertical


def _commands() -> Any:
    from verticals.support.commands import support

    return support


def _routes() -> Any:
    from verticals.support.routes import router

    return router()


def _prepare(report: Callable[[str], None]) -> None:
    from verticals.support.opening import prepare

    prepare(report)


vertical = Vertical(
    name="support",
    summary="answers customers' questions with sources, or hands over",
    commands=_commands,
    routes=_routes,
    dashboard="dashboards/support.py",
    port=8501,
    prepare=_prepare,
)
