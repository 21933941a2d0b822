"""The door to MLflow: opened quietly, its errors made plain; the only file that imports mlflow."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import InputError
from core.serving import tracking_server as server
from core.serving import versions as v
from core.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel  # noqa: F401 (for others)
    from mlflow.tracking import MlflowClient

Progress = Callable[[str], None]
_IMPORTING = threading.Lock()


def _import_mlflow() -> None:
    """Import all of MLflow that is used here, in one thread at a time: its parts import each other in circles, and
    a second thread that comes in by another part would see half a module.
    """
    with _IMPORTING:
        import mlflow.entities
        import mlflow.exceptions
        import mlflow.tracking  # noqa: F401


def is_there(settings: Settings) -> bool:
    """Whether there is a tracking database or server; ``connect`` would make a local one, which takes seconds."""
    file = server.sqlite_file(settings.mlflow_uri)
    return file is None or file.exists()


def connect(settings: Settings, progress: Progress | None = None) -> "MlflowClient":
    """A client of the tracking server or database; a missing SQLite file is created whole or not at all.

    ``progress`` gets one line when the first start takes a few seconds. Raises InputError within seconds when
    the database is locked, damaged, not writable, or the server is away.
    """
    uri = settings.mlflow_uri
    _quiet()
    _import_mlflow()
    file = server.sqlite_file(uri)
    if file is None:
        server.check_reachable(uri)
    elif not file.exists() or file.stat().st_size == 0:
        _create_sqlite(file, settings, progress)
    else:
        server.check_sqlite(file)
    with clear_errors(uri):
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _quiet() -> None:
    # A user's own settings win; the defaults would phone home, log every migration, and retry for minutes.
    for variable, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_LOGGING_LEVEL": "CRITICAL",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    }.items():
        os.environ.setdefault(variable, value)


def _create_sqlite(file: Path, settings: Settings, progress: Progress | None) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with server.locked(file.with_name(f".{file.name}.lock"), 120, f"the first start of {file}"):
            if file.exists() and file.stat().st_size:
                return
            if progress:
                progress(f"Creating the tracking database {file} (once, a few seconds) ...")
            fresh = file.with_name(f".{file.name}.new")
            fresh.unlink(missing_ok=True)
            with clear_errors(str(file)):
                from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

                store = SqlAlchemyStore(f"sqlite:///{fresh.resolve()}", artifact_root(settings))
                store.engine.dispose()
            os.replace(fresh, file)
    except OSError as error:
        raise InputError(
            f"{file} cannot be created ({error.strerror}); make the folder writable, or set HEADWATER_VAR or "
            "HEADWATER_TRACKING_URI to another place."
        ) from error


def artifact_root(settings: Settings) -> str:
    """Where a local tracking database keeps the files of runs, as a URI."""
    return (settings.var / "mlartifacts").resolve().as_uri()


@contextlib.contextmanager
def clear_errors(uri: str) -> Iterator[None]:
    """Turn what MLflow, its database or its HTTP client raise into one InputError sentence."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, RequestException) as error:
        raise InputError(server.database_sentence(server.shown(uri), str(error))) from error


def log_to_run(
    client: "MlflowClient",
    run_id: str,
    metrics: Sequence[tuple[str, float, int, int]] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write a run's metrics (name, value, milliseconds since 1970, step), parameters and tags at once."""
    from mlflow.entities import Metric, Param, RunTag

    file = server.sqlite_file(client.tracking_uri)
    if file is not None:
        server.check_sqlite(file, write=True)
    client.log_batch(
        run_id,
        metrics=[Metric(v.mlflow_key(name), value, at, step) for name, value, at, step in metrics],
        params=[Param(v.mlflow_key(k), value) for k, value in (params or {}).items()],
        tags=[RunTag(k, value) for k, value in (tags or {}).items()],
    )
