"""Passwords: argon2id (RFC 9106) hashes, and what a password must be like (NIST SP 800-63B-4, 3.1.1.2)."""

import threading
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.errors import InputError

SHORTEST, LONGEST = 12, 256  # characters
# What everybody tries first, at our length; sequences and the account's own name are looked at beside it.
_COMMON = ("password", "qwerty", "letmein", "welcome", "iloveyou", "headwater", "changeme", "admin")


def normal(password: str) -> str:
    """The same characters for the same keys, whatever the keyboard composes (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def check(password: str, name: str) -> None:
    """Raise InputError unless the password may be somebody's; the message never holds it."""
    text = normal(password)
    if not SHORTEST <= len(text) <= LONGEST:
        raise InputError(f"the password has {len(text)} characters; use {SHORTEST} to {LONGEST}.")
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text):
        raise InputError("the password holds a line break or another control character; leave it out.")
    rest = text.casefold().replace(name.casefold(), "")
    for word in _COMMON:
        rest = rest.replace(word, "")
    if len({*rest}) < 4:
        raise InputError("the password is a name or common word, repeated or filled up; choose another.")


class Passwords:
    """Makes and checks hashes. ``hasher``: another cost than the library's default (RFC 9106, low memory).

    At most two are computed at once in a process: each takes 64 MiB, and guesses must not take them all.
    """

    _turn = threading.BoundedSemaphore(2)

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()

    def hash(self, password: str) -> str:
        """The PHC string to store."""
        with self._turn:
            return self._hasher.hash(normal(password))

    def right(self, known: str | None, password: str) -> bool:
        """Whether it is the password of this hash; without one the answer is no and takes as long."""
        text = normal(password)
        if len(text) > LONGEST:
            return False
        try:
            with self._turn:
                return self._hasher.verify(known or _nobody(self._hasher), text) and known is not None
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False

    def old(self, known: str) -> bool:
        """Whether the hash was made with another cost than today's."""
        return self._hasher.check_needs_rehash(known)


@cache
def _nobody(hasher: PasswordHasher) -> str:
    """A hash that no password is checked against in earnest."""
    return hasher.hash("\0")
