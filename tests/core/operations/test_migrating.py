"""Revisions: empty and old databases, models that agree, processes that start at once, kills in the middle."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, inspect, select, text
from sqlalchemy.engine import make_url

from core.errors import InputError
from core.operations import migrating
from core.operations.database import connect, open_database
from core.operations.revision import models, write_revision
from core.settings import PROJECT_ROOT, get_settings
from core.vertical import installed, load

OWNERS = ["core", *installed()]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, private_var: Path) -> Engine:
    """A database with nothing in it."""
    if request.param == "postgresql":
        request.getfixturevalue("postgres")
    return connect()


Package = Callable[..., MetaData]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """An application ``shop`` with one or two revisions; its models are those of the newest one."""
    site = tmp_path / "site"
    folder = site / "shop" / "migrations"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(site))

    def make(revisions: int) -> MetaData:
        migrating.revisions.cache_clear()
        metadata = MetaData(info={"migrations": "shop.migrations"})
        Table("shop_items", metadata, Column("id", Integer, primary_key=True), Column("name", String(20)))
        if not list(folder.glob("0001*")):
            write_revision(metadata, "start")
        if revisions == 2:
            metadata = MetaData(info={"migrations": "shop.migrations"})
            Table(
                "shop_items",
                metadata,
                Column("id", Integer, primary_key=True),
                Column("name", String(20)),
                Column("price", Integer, server_default="0", nullable=False),
            )
            if not list(folder.glob("0002*")):
                write_revision(metadata, "prices")
        return metadata

    yield make
    migrating.revisions.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "shop"]:
        del sys.modules[name]


def columns(engine: Engine, table: str) -> list[str]:
    return [column["name"] for column in inspect(engine).get_columns(table)]


@pytest.mark.parametrize("owner", OWNERS)
def test_revisions_make_what_the_models_say(owner: str, empty: Engine) -> None:
    if owner != "core" and load(owner).tables is None:
        pytest.skip(f"{owner} brings no tables")
    tables = models(owner)
    assert migrating.of(tables) is not None, f"{owner} has tables and no migrations"
    migrating.upgrade(empty, tables, by_revisions=True)
    with empty.connect() as connection:
        found = migrating.differences(connection, tables)
    assert found == [], f'write the next revision: python -m core.operations.revision {owner} "what changes"'
    assert migrating.up_to_date(empty, tables)


def test_an_empty_database_gets_the_newest_shape(package: Package, empty: Engine) -> None:
    tables = package(2)
    migrating.upgrade(empty, tables)
    assert columns(empty, "shop_items") == ["id", "name", "price"]
    assert migrating.up_to_date(empty, tables)
    with empty.connect() as connection:
        assert migrating.current(connection, migrating.revisions("shop.migrations")) == "0002"


def test_an_old_database_is_brought_forward_with_its_rows(package: Package, empty: Engine) -> None:
    old = package(1)
    migrating.upgrade(empty, old)
    with empty.begin() as connection:
        connection.execute(text("INSERT INTO shop_items (id, name) VALUES (1, 'pen')"))
    new = package(2)
    assert not migrating.up_to_date(empty, new)
    engine = open_database(new)
    with engine.connect() as connection:
        assert connection.execute(select(new.tables["shop_items"])).all() == [(1, "pen", 0)]
    assert migrating.up_to_date(engine, new)


def test_a_newer_database_is_refused(package: Package, empty: Engine) -> None:
    migrating.upgrade(empty, package(2))
    with empty.begin() as connection:
        connection.execute(text("UPDATE shop_version SET version_num = '0007'"))
    with pytest.raises(InputError, match="revision 0007 of shop.*up to 0002; update Headwater"):
        open_database(package(2))


def test_tables_without_a_number_are_taken_over_or_refused(package: Package, empty: Engine) -> None:
    new = package(2)
    new.create_all(empty)
    with empty.begin() as connection:
        connection.execute(text("INSERT INTO shop_items (id, name) VALUES (1, 'pen')"))
    assert migrating.up_to_date(open_database(new), new)
    with empty.begin() as connection:
        assert connection.execute(text("SELECT name FROM shop_items")).scalar() == "pen"
        connection.execute(text("DROP TABLE shop_version"))
        connection.execute(text("ALTER TABLE shop_items DROP COLUMN price"))
    with pytest.raises(InputError, match=r"without a number.*add_column shop_items"):
        open_database(new)
    assert "shop_version" not in inspect(empty).get_table_names()


def test_a_gap_in_the_numbers_is_refused(package: Package, tmp_path: Path) -> None:
    package(2)
    next((tmp_path / "site").rglob("0001*.py")).unlink()
    migrating.revisions.cache_clear()
    with pytest.raises(InputError, match="without gaps; found 0002"):
        migrating.revisions("shop.migrations")


def test_nothing_to_write_when_nothing_differs(package: Package) -> None:
    assert write_revision(package(2), "nothing") is None


OPEN = """
import sys
sys.path.insert(0, {site!r})
from sqlalchemy import Column, Integer, MetaData, String, Table
from core.operations.database import open_database
metadata = MetaData(info={{"migrations": "shop.migrations"}})
Table("shop_items", metadata, Column("id", Integer, primary_key=True), Column("name", String(20)),
      Column("price", Integer, server_default="0", nullable=False))
open_database(metadata)
"""


def test_processes_that_start_at_once(package: Package, empty: Engine, tmp_path: Path) -> None:
    migrating.upgrade(empty, package(1))
    package(2)
    code = textwrap.dedent(OPEN).format(site=str(tmp_path / "site"))
    started = [
        subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT_ROOT, stderr=subprocess.PIPE) for _ in range(3)
    ]
    for process in started:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err.decode()
    assert columns(empty, "shop_items") == ["id", "name", "price"]


def test_killed_in_the_middle_it_is_as_before(package: Package, private_var: Path, tmp_path: Path) -> None:
    engine = connect()
    migrating.upgrade(engine, package(1))
    package(2)
    revision = next((tmp_path / "site").rglob("0002*.py"))
    kept = revision.read_text()
    revision.write_text(kept + "    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    code = textwrap.dedent(OPEN).format(site=str(tmp_path / "site"))
    killed = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True)
    assert killed.returncode == -9
    assert columns(engine, "shop_items") == ["id", "name"], "the change was undone with its transaction"
    revision.write_text(kept)
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=True)
    assert columns(engine, "shop_items") == ["id", "name", "price"]


def test_a_database_that_is_up_to_date_is_opened_without_alembic(private_var: Path) -> None:
    code = (
        "import sys; from sqlalchemy import MetaData; from core.operations.database import open_database;"
        "open_database(MetaData()); open_database(MetaData());"
        "print([name for name in sys.modules if name.split('.')[0] == 'alembic'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []


def test_memory_databases_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_DATABASE_URL", "sqlite://")
    engine = open_database(models("core"))
    assert "core_corrections" in inspect(engine).get_table_names()
    assert make_url(get_settings().database).database is None
