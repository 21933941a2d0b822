"""Who is calling, and what they may do: ``Depends(require("agent"))`` in any router.

A caller sends an API key, or the token of a session that a name and password opened (``POST /session``), both as
``Authorization: Bearer …``. Without a key ever made, whoever reaches the API over this machine's loopback address is
the local caller, who may do everything. Once a key exists, each request needs one. A request that came in over another
address needs one always.
"""

import asyncio
import ipaddress
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection

from core.access.loopback import host_of, is_forwarded, is_loopback
from core.access.sessions import Sessions
from core.api.keys import ROLES, Keys, match
from core.api.problems import Unavailable
from core.settings import get_settings

FRESH_S = 2.0
_bearer = HTTPBearer(
    scheme_name="key",
    description="A key of `headwater keys create NAME --role ROLE`, or a token of `POST /session`, "
    "sent as `Authorization: Bearer KEY`.",
    auto_error=False,
)


@dataclass(frozen=True)
class Caller:
    """Whose request it is. ``role``: agent, analyst, product or admin; ``others``: what an account may be beside."""

    name: str
    role: str
    others: tuple[str, ...] = ()

    def may(self, *roles: str) -> bool:
        """Whether one of these roles is the caller's; admin may do everything, and no roles means anybody known."""
        return not roles or self.role == "admin" or not {self.role, *self.others}.isdisjoint(roles)


LOCAL = Caller("local", "admin")


class Access:
    """Knows the keys. What was read of them is at most ``FRESH_S`` seconds old: so long does a revoked key live."""

    def __init__(
        self, keys: Keys, clock: Callable[[], float] = time.monotonic, sessions: Sessions | None = None
    ) -> None:
        self._keys, self._clock = keys, clock
        self.sessions = sessions or Sessions(keys.engine)
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, str, str]] | None = None
        self._read: float | None = None

    async def identify(self, connection: HTTPConnection) -> Caller | None:
        """The caller of a request, or None: no key where one is needed, or a wrong one.

        Raises Unavailable when the database cannot be reached.
        """
        now = self._clock()
        if self._read is None or now - self._read > FRESH_S:
            await asyncio.to_thread(self._refresh, now)  # not FastAPI's threads, which busy routes may fill
        given = connection.headers.get("authorization", "")
        scheme, _, key = given.partition(" ")
        if scheme.lower() == "bearer" and key.strip().startswith("hs_"):
            return await asyncio.to_thread(self._signed_in, key.strip())
        if self._known is None:
            return LOCAL if not given and is_local(connection) else None
        if scheme.lower() != "bearer":
            return None
        found = match(key.strip(), self._known)
        return None if found is None else Caller(*found)

    def _signed_in(self, token: str) -> Caller | None:
        try:
            found = self.sessions.find(token)
        except SQLAlchemyError:
            raise Unavailable("The sessions cannot be read; try again.", 5) from None
        return None if found is None else Caller(found.user.name, found.user.role, found.user.roles)

    def _refresh(self, now: float) -> None:
        with self._lock:
            if self._read is None or now > self._read:
                try:
                    self._known = self._keys.in_force()
                except SQLAlchemyError:
                    raise Unavailable("The keys cannot be read; try again.", 5) from None
                self._read = now


def is_local(connection: HTTPConnection) -> bool:
    """Whether a request arrived over loopback, meant for this machine.

    The Host header is looked at, too: a web page whose own name was made to point here (DNS rebinding) sends that name.
    So are the headers that proxies add. A server address that is no IP address belongs to a Unix socket or an
    in-process client.
    """
    if is_forwarded(connection.headers):
        return False
    server = connection.scope.get("server")
    bound = server[0] if server else ""
    try:
        ipaddress.ip_address(bound)
    except ValueError:
        return True
    return is_loopback(bound) and is_loopback(host_of(connection.headers.get("host", bound)))


async def identify(request: HTTPConnection) -> Caller | None:
    """The caller, found once per request; the app's own ``Access``, or one on the configured database."""
    state = request.scope.setdefault("state", {})
    if "caller" not in state:
        app = request.app
        access = getattr(app.state, "access", None)
        if access is None:
            access = app.state.access = Access(await asyncio.to_thread(Keys.open, get_settings()))
        state["caller"] = await access.identify(request)
    return state["caller"]


def require(*roles: str) -> Callable[..., Awaitable[Caller]]:
    """A FastAPI dependency that yields the ``Caller`` if it has one of ``roles`` (or is admin).

    Without roles anybody known passes. The request fails with 401 (no or wrong key) or 403 (another role).
    Raises ValueError at once for a role there is not.
    """
    for role in roles:
        if role not in ROLES:
            raise ValueError(f"there is no role {role!r}; known: {', '.join(ROLES)}")

    async def caller(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None
    ) -> Caller:
        found = await identify(request)
        if found is None:
            raise HTTPException(401, "Send a valid key as: Authorization: Bearer KEY.", {"WWW-Authenticate": "Bearer"})
        if not found.may(*roles):
            raise HTTPException(403, f"This needs the role {' or '.join((*roles, 'admin'))}; yours is {found.role}.")
        return found

    return caller
