"""``headwater finance alerts``: what waits for a decision, and deciding it."""

import getpass
from datetime import datetime, timedelta
from typing import Any

import click

from core.cli import as_json, emit


class _Alerts(click.Group):
    """``alerts`` alone lists those that are open."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = next((a for a in args if not a.startswith("-")), None)
        if first is None and not {"-h", "--help"} & set(args):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Alerts)
def alerts() -> None:
    """List and show alerts; acknowledge, assign, annotate, snooze, silence or resolve them."""


def _open() -> Any:
    from verticals.finance.opening import open_store

    return open_store()


def _now() -> datetime:
    from verticals.finance.opening import utc_now

    return utc_now()


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "local"


actor = click.option("--as", "actor", default=_me, show_default="your user name", help="Who does it.")


def _span(text: str) -> timedelta:
    from core.errors import InputError
    from verticals.finance.alerts.rules import duration

    try:
        found = duration(text)
    except ValueError as error:
        raise InputError(f"{error}.") from None
    if found <= timedelta(0):
        raise InputError(f"{text!r} is no time at all; write it like 45m, 6h, 2d or 1d12h.")
    return timedelta(seconds=found.total_seconds())


@alerts.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@as_json
def list_(everything: bool, as_json: bool) -> None:
    """List the alerts that are open, the gravest first."""
    from verticals.finance import command_text
    from verticals.finance.alerts import inbox

    emit(inbox.listed(_open(), everything), as_json, command_text.alerts)


@alerts.command()
@click.argument("alert")
@as_json
def show(alert: str, as_json: bool) -> None:
    """Show one ALERT (the first 8 or more characters of its id): why, since when, and all that happened."""
    from verticals.finance import command_text
    from verticals.finance.alerts import inbox

    emit(inbox.shown(_open(), alert), as_json, command_text.alert)


def _done(alert: str, what: str, as_json: bool) -> None:
    from verticals.finance import command_text
    from verticals.finance.alerts import inbox

    emit(inbox.shown(_open(), alert), as_json, lambda a: f"{what}: {command_text.alert_line(a)}")


@alerts.command("ack")
@click.argument("alert")
@actor
@as_json
def acknowledge(alert: str, actor: str, as_json: bool) -> None:
    """You have seen it: no more reminders."""
    from verticals.finance.alerts import actions

    actions.acknowledge(_open(), alert, actor, _now())
    _done(alert, "acknowledged", as_json)


@alerts.command()
@click.argument("alert")
@click.argument("assignee")
@actor
@as_json
def assign(alert: str, assignee: str, actor: str, as_json: bool) -> None:
    """Give ALERT to ASSIGNEE."""
    from verticals.finance.alerts import actions

    actions.assign(_open(), alert, actor, _now(), assignee)
    _done(alert, "assigned", as_json)


@alerts.command()
@click.argument("alert")
@click.argument("text")
@actor
@as_json
def note(alert: str, text: str, actor: str, as_json: bool) -> None:
    """Write TEXT into ALERT's trail."""
    from verticals.finance.alerts import actions

    actions.note(_open(), alert, actor, _now(), text)
    _done(alert, "noted", as_json)


@alerts.command()
@click.argument("alert")
@click.option("--for", "span", default="4h", show_default=True, help="How long: 45m, 6h, 2d.")
@actor
@as_json
def snooze(alert: str, span: str, actor: str, as_json: bool) -> None:
    """Send nothing about ALERT for a while."""
    from verticals.finance.alerts import actions

    now = _now()
    actions.snooze(_open(), alert, actor, now, now + _span(span))
    _done(alert, "snoozed", as_json)


@alerts.command()
@click.argument("alert")
@click.option("--note", "text", default="", help="Why.")
@actor
@as_json
def resolve(alert: str, text: str, actor: str, as_json: bool) -> None:
    """Close ALERT; it is not raised again before it was calm."""
    from verticals.finance.alerts import actions

    actions.resolve(_open(), alert, actor, _now(), text)
    _done(alert, "resolved", as_json)


@alerts.command()
@click.argument("matchers", nargs=-1, metavar="LABEL=VALUE…")
@click.option("--for", "span", default="1d", show_default=True, help="How long: 45m, 6h, 2d.")
@click.option("--comment", default="", help="Why.")
@click.option("--expire", type=int, metavar="NUMBER", help="End this silence instead.")
@actor
@as_json
def silence(matchers: tuple[str, ...], span: str, comment: str, expire: int | None, actor: str, as_json: bool) -> None:
    """Send nothing about alerts that match all LABEL=VALUE (~ for = takes a regular expression); list with none."""
    from verticals.finance import command_text
    from verticals.finance.alerts import actions, inbox

    engine, now = _open(), _now()
    if expire is not None:
        actions.expire(engine, expire, now)
    elif matchers:
        wanted = [inbox.matcher(text) for text in matchers]
        actions.silence(engine, wanted, actor, now, now + _span(span), comment)
    emit(inbox.silences(engine, now), as_json, command_text.silences)
