"""Run the API: where it may be bound, and how it stops."""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from core.access.loopback import is_loopback
from core.access.users import Users
from core.api.app import create_app
from core.api.config import ApiSettings
from core.api.keys import Keys
from core.api.logs import configure
from core.errors import InputError
from core.operations.tracing import from_environment
from core.settings import Settings


class Server(uvicorn.Server):
    """uvicorn's server, for which a stop that was asked for is a success; a second Ctrl-C does not wait.

    ``ready`` is called once requests are answered.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM, without raising them again afterwards as uvicorn does."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.force_exit = self.should_exit and number == signal.SIGINT
            self.should_exit = True

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def check_bind(host: str, keys: Keys) -> None:
    """Raise InputError unless ``host`` is this machine alone, or there is a key in force or somebody may sign in."""
    if not is_loopback(host) and not keys.in_force() and not Users(keys.engine).any():
        raise InputError(
            f"{host} can be reached from other machines, and there is no API key and no account; "
            "make one first: headwater keys create NAME --role agent"
        )


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises InputError when the port is taken or the address is not this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot listen on {host}:{port} ({reason}); choose another --host or --port.") from None
    return bound


def serve(settings: Settings, config: ApiSettings, ready: Callable[[str], None] = lambda url: None) -> None:
    """Answer until told to stop (SIGINT or SIGTERM); requests under way are answered first.

    ``ready`` is called with the URL once requests are answered.
    """
    check_bind(config.host, Keys.open(settings))
    configure()
    app = create_app(settings, config=config, tracing=from_environment("api"))
    bound = listen(config.host, config.port)
    host = f"[{config.host}]" if ":" in config.host else config.host
    url = f"http://{host}:{bound.getsockname()[1]}"
    options = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        # The peer's address decides about limits; a header anybody can write must not.
        proxy_headers=False,
        timeout_graceful_shutdown=config.stop_timeout_s,
    )
    Server(options, lambda: ready(url)).run(sockets=[bound])
