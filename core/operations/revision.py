"""For developers: write the next revision of a metadata from its models.

``python -m core.operations.revision core "what changes"`` (or the name of a vertical) compares the models with a
database at the newest revision and writes ``NNNN_what_changes.py`` into its migrations. Read it before you commit it.
"""

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, create_engine

from core.errors import InputError
from core.operations import migrating
from core.operations.database import UtcDateTime

_TEMPLATE = '''"""{message}"""

import sqlalchemy as sa
from alembic import op
{imports}
revision = "{revision}"
down_revision = {down}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    {upgrades}
'''


def models(name: str) -> MetaData:
    """The metadata of the core or of an installed vertical, with all its tables."""
    if name == "core":
        import core.access.tables
        import core.api.keys  # noqa: F401 – these add their tables
        from core.operations import tables

        return tables.metadata
    from core.vertical import load

    hook = load(name).tables
    if hook is None:
        raise InputError(f"vertical {name!r} has no tables.")
    found: MetaData = hook()
    return found


def write_revision(tables: MetaData, message: str) -> Path | None:
    """Write the file that leads from the newest revision to the models; None when nothing differs."""
    from alembic.autogenerate import produce_migrations, render_python_code

    found = migrating.of(tables)
    if found is None:
        raise InputError(
            'give the metadata its migrations: MetaData(info={"migrations": "verticals.NAME.migrations"}).'
        )
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/new.db")
        if found.ids:
            migrating.upgrade(engine, tables, by_revisions=True)
        with engine.connect() as connection:
            context = migrating._context(connection, tables)
            script = produce_migrations(context, tables)
            operations: Any = script.upgrade_ops
            imports: Any = set()  # filled by the call
            body = render_python_code(operations, render_item=_render, render_as_batch=True, imports=imports)
            empty = operations is None or operations.is_empty()
        engine.dispose()
    if empty:
        return None
    revision = f"{len(found.ids) + 1:04}"
    slug = re.sub(r"\W+", "_", message.lower()).strip("_")[:40]
    path = found.folder / f"{revision}_{slug}.py"
    if "UtcDateTime" in body:
        imports.add("\nfrom core.operations.database import UtcDateTime\n")
    down = repr(found.head) if found.head else "None"
    body = "\n".join(line for line in body.splitlines() if not line.strip().startswith("#"))
    path.write_text(
        _TEMPLATE.format(
            message=message, imports="".join(sorted(imports)), revision=revision, down=down, upgrades=body.strip()
        ),
        encoding="utf-8",
    )
    migrating.revisions.cache_clear()
    return path


def _render(kind: str, item: Any, context: Any) -> Any:
    """Our own column types by their names."""
    return "UtcDateTime()" if kind == "type" and isinstance(item, UtcDateTime) else False


if __name__ == "__main__":
    try:
        print(write_revision(models(sys.argv[1]), sys.argv[2]) or "the models are what the newest revision makes")
    except InputError as error:
        sys.exit(str(error))
