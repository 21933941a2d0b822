"""A tuned model that is replaced where it is used when another version of it is promoted or rolled back."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.operations.memory import give_back
from core.settings import Settings, get_settings

_log = logging.getLogger("headwater.models")
FRESH_S = 30.0


class Followed:
    """Whatever is asked of it is asked of the version in use; ``current`` is that one, for several questions in a row.

    ``place()`` says where the version is that should be in use, ``load()`` opens it. At most every ``seconds`` a
    question lets a thread look; its answer does not wait for that, and if loading fails the old version stays.
    """

    def __init__(
        self,
        place: Callable[[], Any],
        load: Callable[[Any], Any],
        seconds: float = FRESH_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place, self._load, self._seconds, self._monotonic = place, load, seconds, monotonic
        self._at = place()
        self._model = load(self._at)
        self._looked = monotonic()
        self._lock = threading.Lock()
        self._left_one = False  # a version that was replaced at the last look

    @property
    def current(self) -> Any:
        """The version in use."""
        if self._monotonic() - self._looked >= self._seconds and self._lock.acquire(blocking=False):
            self._looked = self._monotonic()
            threading.Thread(target=self._look, name="follow", daemon=True).start()
        return self._model

    def settle(self) -> None:
        """Wait until a look that is under way has ended."""
        with self._lock:
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self.current, name)

    def _look(self) -> None:
        try:
            if self._left_one:
                give_back()  # by now nobody asks it; or each promotion would leave a whole model in memory
                self._left_one = False
            at = self._place()
            if at != self._at:
                self._model = self._load(at)
                self._at, self._left_one = at, True
                _log.info("now using %s", at)
        except Exception as error:
            _log.warning("another version could not be opened (%s); the one in use stays", type(error).__name__)
        finally:
            self._lock.release()


def follow(reference: str | Path, engine: str = "auto", settings: Settings | None = None) -> Any:
    """The tuned model of that name, as ``load_predictor`` finds it, kept up to date; a folder stays what it is.

    Raises InputError when there is no such model.
    """
    from core.serving.predictor import load_predictor

    if (Path(reference) / "recipe.toml").is_file():
        return load_predictor(reference, engine=engine)
    return Followed(_place_of(str(reference), settings or get_settings()), lambda at: load_predictor(at, engine=engine))


def _place_of(reference: str, settings: Settings) -> Callable[[], Any]:
    """Asks the registry only when it can have changed: opening it imports MLflow, which takes seconds."""
    from core.serving.predictor import find_model

    known: tuple[Any, Any] | None = None

    def place() -> Any:
        nonlocal known
        stamp = _stamp(settings)
        if known is None or stamp is None or known[0] != stamp:
            known = stamp, find_model(reference, settings)
        return known[1]

    return place


def _stamp(settings: Settings) -> tuple[int, ...] | None:
    """When the registry's file was last written to; None for a server, which may have changed at any time."""
    from core.serving.tracking_server import sqlite_file

    file = sqlite_file(settings.mlflow_uri)
    if file is None:
        return None
    places = (file, file.with_name(f"{file.name}-wal"))
    return tuple(place.stat().st_mtime_ns if place.exists() else 0 for place in places)
