"""Pages by address, fetched by the guarded client: public addresses only, robots.txt obeyed, bounded."""

import asyncio

from core.errors import InputError


def is_address(text: str) -> bool:
    """Whether this means a page rather than a file."""
    return text.startswith(("http://", "https://"))


def fetch(address: str, allowed: tuple[str, ...] = ()) -> bytes:
    """The page's bytes as UTF-8. Raises InputError with the reason when there is none.

    ``allowed`` are networks that may be reached although they are not public, such as ``10.0.0.0/8``.
    """
    from core.fetching.addresses import AddressPolicy
    from core.fetching.client import Client
    from core.fetching.outcomes import Request

    async def run() -> bytes:
        async with Client(AddressPolicy.parse(allowed)) as client:
            got = await client.fetch(Request(address, accept=("html", "text", "xml")))
        if not got.ok:
            raise InputError(f"it could not be fetched ({got.outcome}): {got.reason or got.status}")
        return got.body.decode(got.charset, "replace").encode() if got.charset else got.body

    try:
        return asyncio.run(run())
    except LookupError as error:
        raise InputError(f"its character set is not known ({error})") from error
