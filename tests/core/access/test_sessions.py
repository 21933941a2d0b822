"""Signing in: tokens kept as hashes, an end that no use puts off, and a limit on guessing."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from core.access import tables
from core.access.audit import entries
from core.access.sessions import Refused, Sessions
from core.access.users import Users

GOOD = "Kelp-forest 42 lantern"


@pytest.fixture(autouse=True)
def mei(users: Users) -> None:
    users.add("mei", ["analyst"], GOOD)


def count(engine: Engine, table: Any) -> int:
    with engine.connect() as db:
        return int(db.execute(select(func.count()).select_from(table)).scalar_one())


def actions(engine: Engine) -> list[tuple[str, str]]:
    return [(entry.actor, entry.action) for entry in reversed(entries(engine)) if entry.action.startswith("sign")]


def test_the_token_opens_and_only_its_hash_is_stored(sessions: Sessions) -> None:
    session, token = sessions.sign_in("mei", GOOD)
    found = sessions.find(token)
    assert found is not None and found.user.name == "mei" and found.expires == session.expires
    with sessions.engine.connect() as db:
        assert token not in str(db.execute(select(tables.sessions)).all())
    other = token[:-1] + ("A" if token[-1] != "A" else "B")
    for wrong in (None, "", other, token[:-1], token + "A", token.upper(), "hs_", "\0", "é" * 46):
        assert sessions.find(wrong) is None
    assert sessions.sign_in("mei", GOOD)[1] != token


def test_it_ends_after_its_hours_however_busy(sessions: Sessions, clock: Any) -> None:
    _, token = sessions.sign_in("mei", GOOD)
    for _ in range(7):
        clock.pass_(hours=1)
        assert sessions.find(token) is not None
    clock.pass_(minutes=59, seconds=59)
    assert sessions.find(token) is not None
    clock.pass_(seconds=1)
    assert sessions.find(token) is None
    sessions.sign_in("mei", GOOD)
    assert count(sessions.engine, tables.sessions) == 1, "what has ended is removed"


def test_signing_out_ends_this_session_alone(sessions: Sessions) -> None:
    (_, first), (_, second) = sessions.sign_in("mei", GOOD), sessions.sign_in("mei", GOOD)
    sessions.sign_out(first)
    sessions.sign_out(first)
    assert sessions.find(first) is None and sessions.find(second) is not None
    assert actions(sessions.engine)[-1] == ("mei", "sign-out")


def test_disabling_or_a_new_password_ends_all_sessions(sessions: Sessions, users: Users) -> None:
    _, token = sessions.sign_in("mei", GOOD)
    users.password("mei", "Quite another 1 of them")
    assert sessions.find(token) is None
    _, token = sessions.sign_in("mei", "Quite another 1 of them")
    users.disable("mei")
    assert sessions.find(token) is None
    users.disable("mei", disabled=False)
    assert sessions.find(token) is None, "it does not come back"


def test_wrong_names_and_passwords_look_the_same(sessions: Sessions, users: Users) -> None:
    users.add("gone", ["agent"], GOOD)
    users.disable("gone")
    for name, password in (("mei", "wrong"), ("nobody", GOOD), ("gone", GOOD)):
        with pytest.raises(Refused, match="^the name or the password is wrong$") as refused:
            sessions.sign_in(name, password)
        assert refused.value.wait_s == 0
    failed = [("mei", "sign-in-failed"), ("(unknown)", "sign-in-failed"), ("gone", "sign-in-failed")]
    assert actions(sessions.engine) == failed


def test_what_was_typed_as_a_name_is_not_written_down(sessions: Sessions) -> None:
    with pytest.raises(Refused):
        sessions.sign_in("Oops-my-password-1", "")
    assert "Oops" not in str(entries(sessions.engine))


def test_too_many_wrong_passwords_make_a_name_wait(sessions: Sessions, users: Users, clock: Any) -> None:
    users.add("ana", ["agent"], GOOD)
    for _ in range(3):
        with pytest.raises(Refused, match="wrong"):
            sessions.sign_in("mei", "wrong")
        clock.pass_(minutes=1)
    with pytest.raises(Refused, match="wait") as refused:
        sessions.sign_in("mei", GOOD)
    assert refused.value.wait_s == 12 * 60
    sessions.sign_in("ana", GOOD)
    clock.pass_(minutes=12)
    assert sessions.sign_in("mei", GOOD), "waiting does not start anew with each refused try"


def test_a_success_takes_only_its_own_attempt_back(sessions: Sessions) -> None:
    for _ in range(2):
        with pytest.raises(Refused, match="wrong"):
            sessions.sign_in("mei", "wrong")
    for _ in range(5):
        sessions.sign_in("mei", GOOD)
    with pytest.raises(Refused, match="wrong"):
        sessions.sign_in("mei", "wrong")
    with pytest.raises(Refused, match="wait"):
        sessions.sign_in("mei", GOOD)


def test_an_address_that_tries_many_names_must_wait(sessions: Sessions) -> None:
    for number in range(6):
        with pytest.raises(Refused, match="wrong"):
            sessions.sign_in(f"name{number}", "wrong", address="203.0.113.7")
    with pytest.raises(Refused, match="wait"):
        sessions.sign_in("mei", GOOD, address="203.0.113.7")
    assert sessions.sign_in("mei", GOOD, address="203.0.113.8")


def test_many_guesses_at_once_do_not_slip_through(sessions: Sessions) -> None:
    def guess(number: int) -> bool:
        try:
            sessions.sign_in("mei", f"guess {number}")
        except Refused as refused:
            return refused.wait_s == 0  # the password was looked at
        raise AssertionError("a guess was right")

    with ThreadPoolExecutor(8) as pool:
        looked_at = sum(pool.map(guess, range(24)))
    assert looked_at <= 3
