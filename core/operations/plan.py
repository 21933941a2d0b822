"""What ``headwater up`` runs: the API, the worker, and what each vertical brings, with their ports."""

import ipaddress
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from core import vertical as contract
from core.access.loopback import is_loopback
from core.errors import InputError
from core.operations.child import Spec
from core.settings import PROJECT_ROOT, Settings

HOST = "127.0.0.1"
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where to ask those that listen everywhere
FIRST_PORT = 8501  # of dashboards that name none
_STREAMLIT = {
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
}


class UpSettings(BaseSettings):
    """What can be set about ``headwater up``, by HEADWATER_UP_* environment variables. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="HEADWATER_UP_", extra="ignore")

    ports: dict[str, int] = Field(
        default={}, description='dashboards\' ports and the API\'s, by name, as JSON: {"support": 8501, "api": 8000}'
    )
    address: str = Field(
        default=HOST, description="Where dashboards and API listen; any other than loopback makes sign-in compulsory."
    )
    start_s: float = Field(default=120, gt=0, description="How long a process may take until it is healthy.")
    prepare_s: float = Field(default=900, gt=0, description="How long an application may take to prepare itself.")


@dataclass(frozen=True)
class Plan:
    """What is run, in the order of starting; ``broken``: applications that cannot be loaded, and why.

    ``only``: the applications that API and worker know; all when empty.
    """

    specs: tuple[Spec, ...]
    preparing: tuple[str, ...]
    broken: Mapping[str, str] = field(default_factory=dict)
    only: tuple[str, ...] = ()


def make_plan(
    settings: Settings,
    up: UpSettings,
    only: Sequence[str] = (),
    verticals: Mapping[str, Callable[[], contract.Vertical]] | None = None,
) -> Plan:
    """Ask the installed verticals (all, or ``only`` these) what they bring.

    Order: extra processes, API, worker, dashboards. Raises InputError for an unknown name or a port given twice.
    """
    names = list(contract.installed() if verticals is None else verticals)
    unknown = [name for name in (*only, *up.ports) if name not in (*names, "api")]
    if unknown:
        raise InputError(f"there is no application {unknown[0]!r}; installed: {', '.join(names) or 'none'}.")
    chosen = [name for name in names if not only or name in only]
    found: dict[str, contract.Vertical] = {}
    broken: dict[str, str] = {}
    extra: list[Spec] = []
    for name in chosen:
        try:
            vertical = contract.load(name) if verticals is None else verticals[name]()
            processes = vertical.processes() if vertical.processes is not None else ()
            extra += [_process(process, up) for process in processes]
            found[name] = vertical
        except Exception as error:
            broken[name] = str(error) or type(error).__name__
    specs = [*extra, _api(up, settings), _worker(up, settings), *_dashboards(found, up)]
    _refuse_twice(specs)
    preparing = tuple(name for name, vertical in found.items() if vertical.prepare is not None)
    return Plan(tuple(specs), preparing, broken, tuple(only))


def check_address(address: str, settings: Settings) -> None:
    """Raise InputError unless only this machine can reach it, or somebody could sign in.

    Raises it, too, for what is no IP address: a name may come to mean another one.
    """
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise InputError(f"--address {address!r}: write an IP address, such as 0.0.0.0 for all networks.") from None
    if is_loopback(address):
        return
    from core.access.users import Users

    if not Users.open(settings).any():
        raise InputError(
            f"{address} can be reached from other machines, and nobody has an account; "
            "make one first: headwater users add NAME --role admin"
        )


def check_ports(specs: Iterable[Spec], address: str = HOST) -> None:
    """Raise InputError naming the first port that something else listens on."""
    for spec in specs:
        if spec.port is None:
            continue
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, spec.port))
            except OSError as error:
                raise InputError(
                    f"port {spec.port}, for {spec.name}, cannot be used ({error.strerror}); "
                    f"stop what listens there, or choose another {spec.choose}."
                ) from None


def answers(url: str) -> Callable[[], bool]:
    """Whether something answers there below 400, soon."""

    def ask() -> bool:
        # The environment's proxy is for the world outside.
        return httpx.get(url, timeout=10, trust_env=False).status_code < 400

    return ask


def environment(settings: Settings, only: Sequence[str] = ()) -> dict[str, str]:
    """What the children get: ours, with var as an absolute path, so that the working directory does not matter."""
    return {
        **os.environ,
        **({"HEADWATER_ONLY": ",".join(only)} if only else {}),
        "HEADWATER_VAR": str(settings.var.resolve()),
        "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "1"),
        "PYTHONUNBUFFERED": "1",
    }


def _api(up: UpSettings, settings: Settings) -> Spec:
    from core.api.config import ApiSettings

    port = up.ports.get("api", ApiSettings().port)
    url = _url(up.address, port)
    command = [sys.executable, "-m", "core.cli", "api", "--host", up.address, "--port", str(port)]
    return Spec(
        "api", command, answers(f"{url}/healthz"), url, port, start_s=up.start_s, stop_s=35, choose=_choose("api")
    )


def _worker(up: UpSettings, settings: Settings) -> Spec:
    from core.operations.worker_settings import WorkerSettings

    timing = WorkerSettings()
    beat = settings.var.resolve() / "worker.beat"
    began = time.time()

    def beats() -> bool:
        changed = beat.stat().st_mtime
        return changed >= began and time.time() - changed < max(timing.lease_s, 4 * timing.heartbeat_s)

    command = [sys.executable, "-m", "core.cli", "worker", "--beat", str(beat)]
    return Spec("worker", command, beats, start_s=up.start_s, stop_s=timing.stop_s + 5)


def _process(process: contract.Process, up: UpSettings) -> Spec:
    healthy = answers(process.health) if process.health else None
    url = None if process.port is None else f"http://{HOST}:{process.port}"
    return Spec(process.name, process.command, healthy, url, process.port, process.environment, start_s=up.start_s)


def _dashboards(found: Mapping[str, contract.Vertical], up: UpSettings) -> list[Spec]:
    brought = {name: vertical for name, vertical in found.items() if vertical.dashboard is not None}
    taken = {up.ports.get(name, vertical.port) for name, vertical in brought.items()}
    free = (port for port in range(FIRST_PORT, 65536) if port not in taken)
    specs = []
    for name, vertical in brought.items():
        port = up.ports.get(name) or vertical.port or next(free)
        script = PROJECT_ROOT / str(vertical.dashboard)
        specs.append(_dashboard(name, script, port, up, waits=vertical.prepare is not None))
    return specs


def _dashboard(name: str, script: Path, port: int, up: UpSettings, waits: bool) -> Spec:
    options = {**_STREAMLIT, "server.address": up.address, "server.port": str(port)}
    command = [sys.executable, "-m", "streamlit", "run", str(script)]
    command += [f"--{key}={value}" for key, value in options.items()]
    url = _url(up.address, port)
    # Streamlit finds the project's modules only from the script's own folder and PYTHONPATH.
    paths = [str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return Spec(
        f"{name}-dashboard",
        command,
        answers(f"{url}/_stcore/health"),
        url,
        port,
        {"PYTHONPATH": os.pathsep.join(paths)},
        start_s=up.start_s,
        waits=waits,
        choose=_choose(name),
    )


def _url(address: str, port: int) -> str:
    host = _ANY.get(address, address)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _choose(name: str) -> str:
    return f"with --port {name}=PORT"


def _refuse_twice(specs: Iterable[Spec]) -> None:
    owners: dict[int, str] = {}
    names: set[str] = set()
    for spec in specs:
        if spec.name in names:
            raise InputError(f"two processes are called {spec.name!r}; uninstall one of the applications.")
        names.add(spec.name)
        if spec.port is None:
            continue
        if spec.port in owners:
            raise InputError(f"port {spec.port} is given to both {owners[spec.port]} and {spec.name}; choose another.")
        owners[spec.port] = spec.name
