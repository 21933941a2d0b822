"""Keys: only hashes are kept, names are taken once, revoked is revoked."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from core.api.keys import Keys, api_keys, match
from core.errors import InputError
from core.operations.database import open_database
from core.settings import get_settings


def test_only_the_hash_is_stored(keys: Keys) -> None:
    info, key = keys.create("widget", "agent")
    secret = key.rpartition("_")[2]
    with keys.engine.connect() as db:
        rows = db.execute(select(api_keys)).all()
    assert len(rows) == 1
    assert not any(secret in str(value) for value in rows[0])
    assert key not in str(info) and secret not in str(info.to_dict())


def test_a_key_is_known_by_its_whole_text(keys: Keys) -> None:
    _, key = keys.create("widget", "agent")
    known = keys.in_force()
    assert known is not None
    assert match(key, known) == ("widget", "agent")
    other = key[:-1] + ("A" if key[-1] != "A" else "B")
    for wrong in (other, key[:-1], key + "A", key.upper(), "", "hw__", "hw_" + "0" * 16 + key[19:], "\x00", "é" * 63):
        assert match(wrong, known) is None


def test_two_keys_are_never_the_same(keys: Keys) -> None:
    assert len({keys.create(f"k{i}", "agent")[1] for i in range(20)}) == 20


def test_revoked_is_over_and_the_name_is_free_again(keys: Keys) -> None:
    _, first = keys.create("widget", "agent")
    assert keys.revoke("widget").revoked is not None
    known = keys.in_force()
    assert known == {}  # not None: a table without a key in force does not open the door again
    assert match(first, known) is None
    _, second = keys.create("widget", "admin")
    known = keys.in_force()
    assert known is not None and match(second, known) == ("widget", "admin") and match(first, known) is None
    assert [(k.name, k.role, k.revoked is None) for k in keys.list()] == [
        ("widget", "agent", False),
        ("widget", "admin", True),
    ]


def test_times_are_the_clocks() -> None:
    now = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    keys = Keys(open_database(api_keys.metadata, get_settings()), now=lambda: now)
    assert keys.create("a", "agent")[0].created == now
    now += timedelta(days=1)
    assert keys.revoke("a").revoked == now
    assert keys.list()[0].created == now - timedelta(days=1)


def test_none_was_ever_made(keys: Keys) -> None:
    assert keys.in_force() is None and keys.list() == []


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", "x" * 65, "../a", "a\n", "é"])
def test_bad_names(keys: Keys, name: str) -> None:
    with pytest.raises(InputError, match="key name"):
        keys.create(name, "agent")


def test_wrong_use_says_what_to_do(keys: Keys) -> None:
    keys.create("a", "agent")
    with pytest.raises(InputError, match="revoke it first"):
        keys.create("a", "admin")
    with pytest.raises(InputError, match="agent, analyst, product, admin"):
        keys.create("b", "root")
    with pytest.raises(InputError, match="keys list"):
        keys.revoke("b")
