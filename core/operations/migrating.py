"""Bring a database to the newest shape: numbered Alembic revisions, one row of files for the core and each vertical.

A metadata that carries ``info={"migrations": "verticals.finance.migrations"}`` has its revisions in that package:
``0001_start.py``, ``0002_….py``. Their numbers are the revision ids, so whether a database is up to date is known
from the names of the files, without loading Alembic. Each metadata has its own version table, and what was begun is
either done or undone: a revision runs in one transaction on SQLite, too.
"""

import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    NullPool,
    String,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    text,
)
from sqlalchemy.exc import DBAPIError

from core.errors import InputError

_FILE = re.compile(r"(\d{4})_\w+\.py")


@dataclass(frozen=True)
class Revisions:
    """The revision files of one metadata. ``head`` is the newest one's id; ``table`` keeps a database's own."""

    package: str
    folder: Path
    ids: tuple[str, ...]

    @property
    def head(self) -> str | None:
        """The newest revision's id; None when there is none yet."""
        return self.ids[-1] if self.ids else None

    @property
    def table(self) -> str:
        """The version table's name."""
        return f"{self.owner}_version"

    @property
    def owner(self) -> str:
        """The application: ``core``, or a vertical's name."""
        return next(part for part in self.package.split(".") if part != "verticals")


@cache
def revisions(package: str) -> Revisions:
    """Find the revision files of a package. Raises InputError when the package is not there."""
    spec = find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not places:
        raise InputError(f"the migrations {package} are not installed; install the application again.")
    folder = Path(places[0])
    ids = sorted(match[1] for path in folder.iterdir() if (match := _FILE.fullmatch(path.name)))
    if ids != [f"{number:04}" for number in range(1, len(ids) + 1)]:
        raise InputError(f"{folder}: revisions must be numbered 0001, 0002, … without gaps; found {', '.join(ids)}.")
    return Revisions(package, folder, tuple(ids))


def of(tables: MetaData) -> Revisions | None:
    """The revisions of a metadata; None when it brings none."""
    package = tables.info.get("migrations")
    return None if package is None else revisions(package)


def current(connection: Connection, found: Revisions) -> str | None:
    """The revision a database is at; None for one that never was migrated."""
    if not inspect(connection).has_table(found.table):
        return None
    return connection.execute(text(f"SELECT version_num FROM {found.table}")).scalar()


def up_to_date(engine: Engine, tables: MetaData) -> bool:
    """Whether nothing is to be done; quick. Raises InputError for a database from a newer version of the product."""
    found = of(tables)
    if found is None:
        return False
    version: str | None = None
    with suppress(DBAPIError), engine.connect() as connection:  # without the table there is an error, and no version
        version = connection.execute(text(f"SELECT version_num FROM {found.table}")).scalar()
    if version is not None and version not in found.ids:
        raise InputError(
            f"the database is at revision {version} of {found.owner}, and this version of "
            f"Headwater knows revisions up to {found.head}; update Headwater, or restore an older backup."
        )
    return version is not None and version == found.head


def upgrade(engine: Engine, tables: MetaData, by_revisions: bool = False, to: str | None = None) -> None:
    """Bring a database to the newest shape; the caller holds the right to change tables.

    An empty one gets its tables from the models, unless ``by_revisions`` (a test proves that both ways lead to the
    same), and others run the revisions they lack, up to ``to``. A database whose tables were made without revisions
    is taken over when their shape is the newest; InputError when it is not.
    """
    found = of(tables)
    if found is None:
        tables.create_all(engine, checkfirst=True)
        return
    if to is None and not by_revisions:
        from core.operations.revision import models

        with suppress(InputError):
            models(found.owner)  # adds the tables of rooms that were not imported yet
    with _transactional(engine) as own, own.connect() as connection:
        fresh = current(connection, found) is None
        there = fresh and not set(tables.tables).isdisjoint(inspect(connection).get_table_names())
        connection.rollback()
        if there or (fresh and to is None and not by_revisions):
            _make(connection, tables, found, compare=there)
        else:
            _run(connection, tables, found, to)


def differences(connection: Connection, tables: MetaData) -> list[Any]:
    """How a database's tables differ from the models, as Alembic's autogenerate says it."""
    from alembic.autogenerate import compare_metadata

    return list(compare_metadata(_context(connection, tables), tables))


def _context(connection: Connection, tables: MetaData) -> Any:
    from alembic.runtime.migration import MigrationContext

    names = set(tables.tables)
    options = {"compare_type": True, "include_name": lambda name, kind, _: kind != "table" or name in names}
    return MigrationContext.configure(connection, opts=options)


def _make(connection: Connection, tables: MetaData, found: Revisions, compare: bool) -> None:
    """Make the missing tables from the models and note the newest revision, all or nothing."""
    with connection.begin():
        tables.create_all(connection, checkfirst=True)
        changes = differences(connection, tables) if compare else []
        if changes:
            raise InputError(
                f"the database has tables of {found.owner} in a shape without a number, "
                f"which differs from this version's in {len(changes)} places ({_named(changes[0])}); "
                "move var/headwater.db away, or restore a backup."
            )
        version = Table(found.table, MetaData(), Column("version_num", String(32), primary_key=True))  # as Alembic does
        version.create(connection, checkfirst=True)
        connection.execute(insert(version).values(version_num=found.head))


def _run(connection: Connection, tables: MetaData, found: Revisions, to: str | None) -> None:
    script, environment = _scripts(found)
    with environment as env:
        env.configure(
            connection=connection,
            target_metadata=tables,
            version_table=found.table,
            fn=lambda revision, _: script._upgrade_revs(to or "head", revision),
            render_as_batch=True,
            transactional_ddl=True,
            transaction_per_migration=True,
        )
        with env.begin_transaction():
            env.run_migrations()


def _scripts(found: Revisions) -> tuple[Any, Any]:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(found.folder))
    config.set_main_option("version_locations", str(found.folder))
    config.set_main_option("path_separator", "newline")
    script = ScriptDirectory.from_config(config)
    return script, EnvironmentContext(config, script)


class _transactional:
    """An engine on the same database whose transactions cover changes of tables, too."""

    def __init__(self, engine: Engine) -> None:
        self._source = engine

    def __enter__(self) -> Engine:
        self._engine = create_engine(self._source.url, poolclass=NullPool)
        if self._engine.dialect.name == "sqlite":
            # pysqlite commits before it changes a table unless it is told not to begin transactions itself; see
            # SQLAlchemy's page on SQLite, "Serializable isolation / Savepoints / Transactional DDL".
            @event.listens_for(self._engine, "connect")
            def _leave_transactions_alone(connection: Any, record: Any) -> None:
                connection.isolation_level = None
                connection.execute("PRAGMA busy_timeout=30000")
                # A table that is made anew in a batch is dropped for a moment, with rows pointing at it.
                connection.execute("PRAGMA foreign_keys=OFF")

            @event.listens_for(self._engine, "begin")
            def _begin(connection: Connection) -> None:
                connection.exec_driver_sql("BEGIN IMMEDIATE")

        return self._engine

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()


def _named(change: Any) -> str:
    """``add_column finance_articles`` from one of Alembic's tuples."""
    change = change[0] if isinstance(change, list) else change
    names = [str(getattr(part, "name", part)) for part in change[1:] if part is not None]
    return " ".join([str(change[0]), *names])[:120]
