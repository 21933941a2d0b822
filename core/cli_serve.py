"""Commands that serve: the REST API and its keys. Imported when one of them is called."""

from typing import Any

import click

from core.cli import as_json, emit

ROLES = ("agent", "analyst", "product", "admin")  # those of core.api.keys, which is heavy to import


@click.command()
@click.option("--host", help="Address to listen on; 127.0.0.1 unless given. Any other than loopback needs a key.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 8000 unless given, 0 for a free one.")
def api(host: str | None, port: int | None) -> None:
    """Serve the REST API until Ctrl-C: models, embeddings, and the routes of installed applications."""
    from core.api.config import read_config
    from core.api.serve import serve
    from core.settings import get_settings

    given: dict[str, Any] = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    serve(get_settings(), read_config(**given), ready=lambda url: click.echo(f"API on {url}", err=True))


@click.group()
def keys() -> None:
    """API keys: create, list, revoke."""


@keys.command("create")
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(ROLES), help="What its owner may do; admin: everything.")
@as_json
def keys_create(name: str, role: str, as_json: bool) -> None:
    """Make a key for NAME and print it, this once."""
    info, key = _keys().create(name, role)
    emit(
        {**info.to_dict(), "key": key},
        as_json,
        lambda made: f"{made['key']}\nKeep it: it is not stored and cannot be shown again.",
    )


@keys.command("list")
@as_json
def keys_list(as_json: bool) -> None:
    """List the keys that were made, without the keys themselves."""
    emit([info.to_dict() for info in _keys().list()], as_json, _table)


@keys.command("revoke")
@click.argument("name")
@as_json
def keys_revoke(name: str, as_json: bool) -> None:
    """End NAME's key; a running API refuses it within 2 seconds."""
    emit(_keys().revoke(name).to_dict(), as_json, lambda info: f"the key of {info['name']} is revoked.")


def _keys() -> Any:
    from core.api.keys import Keys
    from core.settings import get_settings

    return Keys.open(get_settings())


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "no key was made yet; make one: headwater keys create NAME --role agent"
    lines = [
        f"{row['name']:<24} {row['role']:<8} {row['created'][:16]}  {'revoked' if row['revoked'] else 'in force'}"
        for row in rows
    ]
    return "\n".join(lines)
