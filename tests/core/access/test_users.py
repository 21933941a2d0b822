"""Accounts: argon2id only, roles, disabled is disabled, and no password anywhere else."""

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from core.access.audit import entries
from core.access.passwords import Passwords, check
from core.access.tables import users as table
from core.access.users import ROLES, Users
from core.errors import InputError

GOOD = "Kelp-forest 42 lantern"


def test_only_an_argon2id_hash_is_stored(users: Users) -> None:
    user = users.add("mei", ["analyst"], GOOD)
    with users.engine.connect() as db:
        row = db.execute(select(table)).one()
    assert row.hash.startswith("$argon2id$")
    assert GOOD not in str(row) and GOOD not in str(user) and GOOD not in str(entries(users.engine))
    assert not hasattr(user, "hash")


def test_the_usual_cost_is_that_of_rfc_9106() -> None:
    assert "$argon2id$v=19$m=65536,t=3,p=4$" in Passwords().hash(GOOD)


def test_right_and_wrong_passwords(users: Users) -> None:
    users.add("mei", ["analyst"], GOOD)
    found = users.right("mei", GOOD)
    assert found is not None and (found.name, found.roles) == ("mei", ("analyst",))
    for wrong in ("", GOOD[:-1], GOOD + " ", GOOD.upper(), "x" * 10_000, "\ud800" * 14, "\0"):
        assert users.right("mei", wrong) is None
    for nobody in ("", "Mei", "mei\0", "ana", "\ud800"):
        assert users.right(nobody, GOOD) is None


def test_the_same_characters_composed_otherwise(users: Users) -> None:
    users.add("mei", ["agent"], "Caf\u00e9 am Marktplatz 9")
    assert users.right("mei", "Cafe\u0301 am Marktplatz 9") is not None


def test_roles(users: Users) -> None:
    both = users.add("mei", ["product", "agent", "agent"], GOOD)
    assert both.roles == ("agent", "product") and both.role == "agent"
    assert both.may("agent") and both.may("product", "analyst") and not both.may("analyst") and both.may()
    assert users.add("root", ["agent", "admin"], GOOD).role == "admin"
    boss = users.find("root")
    assert boss is not None and all(boss.may(role) for role in ROLES)


def test_disabled_and_enabled_again(users: Users) -> None:
    users.add("mei", ["agent"], GOOD)
    assert users.any()
    assert users.disable("mei").disabled
    assert users.right("mei", GOOD) is None and not users.any()
    assert not users.disable("mei", disabled=False).disabled
    assert users.right("mei", GOOD) is not None


def test_another_password(users: Users) -> None:
    users.add("mei", ["agent"], GOOD)
    users.password("mei", "Quite another 1 of them")
    assert users.right("mei", GOOD) is None
    assert users.right("mei", "Quite another 1 of them") is not None


def test_a_dearer_cost_is_taken_up_at_the_next_sign_in(users: Users) -> None:
    users.add("mei", ["agent"], GOOD)
    dearer = Users(users.engine, Passwords(PasswordHasher(time_cost=2, memory_cost=128, parallelism=1)))
    assert dearer.right("mei", GOOD) is not None
    with users.engine.connect() as db:
        assert "m=128,t=2" in db.execute(select(table.c.hash)).scalar_one()
    assert dearer.right("mei", GOOD) is not None


def test_each_change_is_in_the_audit_log(users: Users) -> None:
    users.add("mei", ["agent"], GOOD)
    users.password("mei", "Quite another 1 of them")
    users.disable("mei")
    users.disable("mei", disabled=False)
    found = [(e.actor, e.role, e.action, e.object) for e in entries(users.engine)]
    acts = ("user-enable", "user-disable", "user-password", "user-add")
    assert found == [("root", "operator", act, "user mei") for act in acts]


def test_a_refused_change_leaves_no_entry(users: Users) -> None:
    users.add("mei", ["agent"], GOOD)
    with pytest.raises(InputError, match="exists"):
        users.add("mei", ["admin"], GOOD)
    for act in (users.disable, lambda name: users.password(name, GOOD)):
        with pytest.raises(InputError, match="no user 'ana'.*users list"):
            act("ana")
    assert [e.action for e in entries(users.engine)] == ["user-add"]
    assert [user.roles for user in users.list()] == [("agent",)]


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", "x" * 65, "../a", "a\n", "a\0"])
def test_bad_names(users: Users, name: str) -> None:
    with pytest.raises(InputError, match="user name"):
        users.add(name, ["agent"], GOOD)


def test_bad_roles(users: Users) -> None:
    with pytest.raises(InputError, match="no role 'root'.*agent, analyst, product, admin"):
        users.add("mei", ["root"], GOOD)
    with pytest.raises(InputError, match="needs a role"):
        users.add("mei", [], GOOD)


@pytest.mark.parametrize(
    "password",
    ["", "short 1", "passwordpassword", "meimeimei123123", "aaaaaaaaaaaaaaaa", "x" * 257, "a line\nand more 1"],
)
def test_bad_passwords_are_not_repeated_to_anybody(users: Users, password: str) -> None:
    with pytest.raises(InputError) as refused:
        users.add("mei", ["agent"], password)
    assert not password or password not in str(refused.value)


@given(st.text(max_size=40), st.text(min_size=1, max_size=20))
def test_what_passes_the_check_can_be_hashed_and_found_again(password: str, name: str) -> None:
    made = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    try:
        check(password, name)
    except InputError as error:
        assert len(password) < 12 or password not in str(error)
        return
    assert made.right(made.hash(password), password)
    assert not made.right(made.hash(password), password + "x")
    assert not made.right(None, password)
