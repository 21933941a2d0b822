"""A challenger answers a sample of the live texts beside the model in use; nobody gets its answers, they are compared.

The caller only puts a text into a bounded queue; when it is full, the text is left out. One thread scores, at most so
many texts a second, and writes sums: no text is kept, so none needs redaction.

>>> shadow = Shadow(challenger_of, settings.var / "shadow", ShadowSettings(sample=0.1))
>>> shadow.offer("finance-topics", 1, texts, predictions)
"""

import json
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import InputError
from core.evaluation.shares import wilson
from core.operations.lease import utc_now

_log = logging.getLogger("headwater.shadow")


class ShadowSettings(BaseSettings):
    """How much is scored in the shadow, by HEADWATER_SHADOW_* environment variables."""

    model_config = SettingsConfigDict(env_prefix="HEADWATER_SHADOW_", extra="ignore")

    sample: float = Field(
        default=0.0, ge=0, le=1, description="Share of texts that a challenger answers, too; 0: none."
    )
    queue: int = Field(default=256, ge=1, description="Texts that may wait; more are left out.")
    most_a_second: float = Field(default=20, gt=0, description="Texts scored in a second at most.")
    batch: int = Field(default=16, ge=1, description="Texts scored at once.")
    fresh_s: float = Field(default=60, ge=0, description="How soon another challenger is noticed.")
    seed: int = 0


def read_settings() -> ShadowSettings:
    """The settings of the environment. Raises InputError naming the variable that is wrong."""
    try:
        return ShadowSettings()
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"HEADWATER_SHADOW_{first['loc'][0]}".upper() + f": {first['msg']}.") from None


@dataclass(frozen=True)
class Challenger:
    """What answers in the shadow: the version, and ``predict`` as a ``Predictor`` has it."""

    version: int
    predict: Callable[[list[str]], Sequence[Any]]


@dataclass(frozen=True)
class Summary:
    """Sums over the texts that both answered; ``dropped`` counts those that found the queue full.

    Times in seconds; confidences are probabilities of each model's own answer.
    """

    champion: int | None
    challenger: int
    n: int = 0
    agreed: int = 0
    champion_confidence_sum: float = 0.0
    challenger_confidence_sum: float = 0.0
    challenger_s: float = 0.0
    dropped: int = 0
    since: str | None = None
    updated: str | None = None

    def plus(self, answers: Sequence[tuple[Any, Any]], took: float, dropped: int, now: datetime) -> "Summary":
        """With more texts: (label and probability) of both models each, scored in ``took`` seconds."""
        return replace(
            self,
            n=self.n + len(answers),
            agreed=self.agreed + sum(old.label == new.label for old, new in answers),
            champion_confidence_sum=self.champion_confidence_sum + sum(float(old.probability) for old, _ in answers),
            challenger_confidence_sum=self.challenger_confidence_sum
            + sum(float(new.probability) for _, new in answers),
            challenger_s=self.challenger_s + took,
            dropped=self.dropped + dropped,
            since=self.since or now.isoformat(),
            updated=now.isoformat(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values: means, and the agreement with Wilson's 95 % interval (Wilson 1927)."""
        low, high = wilson(self.agreed, self.n)
        many = max(1, self.n)
        return {
            "champion": self.champion,
            "challenger": self.challenger,
            "n": self.n,
            "agreement": self.agreed / many,
            "low": low,
            "high": high,
            "champion_confidence": self.champion_confidence_sum / many,
            "challenger_confidence": self.challenger_confidence_sum / many,
            "challenger_ms": 1000 * self.challenger_s / many,
            "dropped": self.dropped,
            "since": self.since,
            "updated": self.updated,
        }


class Shadow:
    """Scores a sample in one thread of its own. ``offer`` never waits and never raises.

    ``challenger_of(model, champion)`` gives what may follow this version of a model, or None; it may take seconds.
    ``folder`` gets ``MODEL.json`` with the sums, begun anew whenever one of both versions changes.
    """

    def __init__(
        self,
        challenger_of: Callable[[str, int | None], Challenger | None],
        folder: Path,
        settings: ShadowSettings,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._challenger_of, self._folder, self.settings = challenger_of, folder, settings
        self._clock, self._monotonic = clock, monotonic
        self._waiting: queue.Queue[Any] = queue.Queue(settings.queue)
        self._chance = random.Random(settings.seed)
        self._known: dict[tuple[str, int | None], tuple[float, Challenger | None]] = {}
        self._dropped: dict[str, int] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()

    def offer(self, model: str, champion: int | None, texts: Sequence[Any], answers: Sequence[Any]) -> None:
        """A request that was answered; each of its single texts is scored with the chance ``settings.sample``."""
        if self.settings.sample <= 0 or self._ending.is_set():
            return
        for text, answer in zip(texts, answers, strict=False):
            if not isinstance(text, str) or self._chance.random() >= self.settings.sample:
                continue
            try:
                self._waiting.put_nowait((model, champion, text, answer))
            except queue.Full:
                with self._lock:
                    self._dropped[model] = self._dropped.get(model, 0) + 1
        self._start()

    def close(self, seconds: float = 5.0) -> None:
        """Stop; what still waits is left out."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def settle(self) -> None:
        """Wait until everything offered has been scored or left out; for tests and orderly ends."""
        self._waiting.join()

    def _start(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while not self._ending.is_set():
            batch = self._batch()
            if not batch:
                continue
            try:
                self._score(batch)
            except Exception as error:  # the shadow may fail; the service must not notice
                _log.warning("nothing was scored beside %s: %s", batch[0][0], type(error).__name__)
            finally:
                for _ in batch:
                    self._waiting.task_done()
            self._ending.wait(len(batch) / self.settings.most_a_second)

    def _batch(self) -> list[Any]:
        """What waits for one model in one version, at most ``settings.batch``; empty after a while without any."""
        try:
            found = [self._waiting.get(timeout=0.2)]
        except queue.Empty:
            return []
        while len(found) < self.settings.batch:
            with self._waiting.mutex:
                following = self._waiting.queue[0][:2] if self._waiting.queue else None
            if following != found[0][:2]:
                break
            found.append(self._waiting.get_nowait())
        return found

    def _score(self, batch: Sequence[Any]) -> None:
        model, champion = batch[0][:2]
        challenger = self._challenger(model, champion)
        if challenger is None:
            return
        began = time.perf_counter()
        answers = challenger.predict([text for _, _, text, _ in batch])
        took = time.perf_counter() - began
        with self._lock:
            dropped = self._dropped.pop(model, 0)
        pairs = [(old, new) for (_, _, _, old), new in zip(batch, answers, strict=True)]
        path = self._folder / f"{model}.json"
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / ".lock", is_singleton=False):  # several API processes add to one sum
            known = _read(path)
            if known is None or (known.champion, known.challenger) != (champion, challenger.version):
                known = Summary(champion, challenger.version)
            _write(path, known.plus(pairs, took, dropped, self._clock()))

    def _challenger(self, model: str, champion: int | None) -> Challenger | None:
        known = self._known.get((model, champion))
        if known is None or self._monotonic() - known[0] >= self.settings.fresh_s:
            found = self._challenger_of(model, champion)
            if found is not None and known is not None and known[1] is not None:
                found = known[1] if known[1].version == found.version else found
            known = self._known[model, champion] = (self._monotonic(), found)
        return known[1]


def registered_challenger(settings: Any) -> Callable[[str, int | None], Challenger | None]:
    """``challenger_of`` by the registry's alias ``challenger``: loaded once a version; None when that one is in use."""
    loaded: dict[tuple[str, int], Any] = {}

    def find(model: str, champion: int | None) -> Challenger | None:
        from core.serving import mlflow_client
        from core.serving.predictor import load_predictor
        from core.serving.registry import Registry

        if not mlflow_client.is_there(settings):
            return None
        try:
            version = Registry(settings).show(f"{model}@challenger")
        except InputError:
            return None
        if version.version == champion or version.path is None:
            return None
        key = model, version.version
        if key not in loaded:
            for old in [old for old in loaded if old[0] == model]:
                del loaded[old]
            loaded[key] = load_predictor(version.path)
        if loaded[key].recipe.task != "classification":
            return None
        return Challenger(version.version, loaded[key].predict)

    return find


def summaries(folder: Path) -> Mapping[str, Summary]:
    """What was found so far, by model."""
    found = {path.stem: _read(path) for path in sorted(folder.glob("[!.]*.json"))}
    return {name: one for name, one in found.items() if one is not None}


def _read(path: Path) -> Summary | None:
    try:
        return Summary(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, summary: Summary) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(json.dumps(asdict(summary)), encoding="utf-8")
    beside.replace(path)
