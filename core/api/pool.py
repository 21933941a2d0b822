"""The models in memory: loaded when first asked for, replaced when promoted, a bounded number of them."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from core.api.catalogue import Catalogue, Source
from core.api.config import ApiSettings
from core.api.logs import logger, where
from core.api.problems import Unavailable
from core.api.served import Served

_FAILURE_KEPT_S = 30.0


@dataclass
class _Slot:
    name: str
    loading: "asyncio.Task[Served]"
    used: float
    served: Served | None = None
    failed: float | None = field(default=None)


class Pool:
    """Gives the model a name means now. For one event loop; loading and looking up happen in threads."""

    def __init__(self, catalogue: Catalogue, config: ApiSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.catalogue, self.config, self._clock = catalogue, config, clock
        self._meanings: dict[str, tuple[float, Source]] = {}
        self._slots: dict[str, _Slot] = {}
        self._replaced: set[str] = set()  # places in ``_slots`` that a name meant before
        self._closing: list[threading.Thread] = []

    async def get(self, reference: str) -> Served:
        """The model, loaded. Raises NotFound, or Unavailable while it is being loaded or after it failed to."""
        source = await self._meaning(reference)
        key = str(source.place)
        slot = self._slots.get(key)
        if slot is not None and slot.failed is not None and self._clock() - slot.failed > _FAILURE_KEPT_S:
            del self._slots[key]
            slot = None
        if slot is None:
            slot = self._slots[key] = self._load(source)
        slot.used = self._clock()
        if slot.served is not None:
            return slot.served
        try:
            return await asyncio.wait_for(asyncio.shield(slot.loading), self.config.load_timeout_s)
        except TimeoutError:
            raise Unavailable(f"The model {source.name} is being loaded; try again.", 5) from None
        except Exception:
            raise Unavailable(f"The model {source.name} cannot be loaded; see the log.", _FAILURE_KEPT_S) from None

    def states(self) -> Iterator[tuple[str, str, int]]:
        """(name, ready, loading or failed, texts waiting) of each model asked for."""
        for slot in list(self._slots.values()):
            state = "ready" if slot.served else "failed" if slot.failed is not None else "loading"
            yield slot.name, state, slot.served.batcher.unanswered if slot.served else 0

    async def close(self) -> None:
        """Answer what waits, then let every model go."""
        for slot in self._slots.values():
            slot.loading.cancel()
            if slot.served is not None:
                self._let_go(slot.served)
        self._slots.clear()
        for thread in self._closing:
            await asyncio.to_thread(thread.join)

    async def _meaning(self, reference: str) -> Source:
        known = self._meanings.get(reference)
        if known is not None and self._clock() - known[0] < self.config.fresh_s:
            return known[1]
        source = await asyncio.to_thread(self.catalogue.find, reference)
        if len(self._meanings) > 1000:
            self._meanings.clear()
        self._meanings[reference] = (self._clock(), source)
        if known is not None and known[1].place != source.place:
            self._replaced.add(str(known[1].place))
        self._let_replaced_go()
        return source

    def _load(self, source: Source) -> _Slot:
        label = source.name if source.version is None else f"{source.name}:{source.version}"

        async def load() -> Served:
            begun = time.perf_counter()
            try:
                served = await asyncio.to_thread(Served, source, self.config)
            except Exception as error:
                slot.failed = self._clock()
                logger().error("model failed to load", model=label, **where(error))
                raise
            slot.served = served
            seconds = round(time.perf_counter() - begun, 2)
            logger().info("model loaded", model=label, engine=served.model.engine, seconds=seconds)
            self._let_replaced_go()
            self._make_room()
            return served

        slot = _Slot(label, asyncio.get_running_loop().create_task(load()), self._clock())
        slot.loading.add_done_callback(lambda task: task.cancelled() or task.exception())  # so that none is unheard
        return slot

    def _let_replaced_go(self) -> None:
        """What no name means any more leaves once nobody can still be waiting for it, however much room there is."""
        if not self._replaced:
            return
        self._replaced -= {str(source.place) for _, source in self._meanings.values()}  # rolled back, or named as such
        now = self._clock()
        for key in sorted(self._replaced):
            slot = self._slots.get(key)
            if slot is None or (slot.loading.done() and now - slot.used >= self.config.replaced_s):
                self._replaced.discard(key)
                self._slots.pop(key, None)
                if slot is not None and slot.served is not None:
                    self._let_go(slot.served)

    def _make_room(self) -> None:
        ready = sorted((s.used, key) for key, s in self._slots.items() if s.served is not None)
        for _, key in ready[: max(0, len(ready) - self.config.max_models)]:
            slot = self._slots.pop(key)
            if slot.served is not None:
                self._let_go(slot.served)

    def _let_go(self, served: Served) -> None:
        self._closing = [thread for thread in self._closing if thread.is_alive()]
        thread = threading.Thread(target=served.close, name=f"close-{served.source.name}", daemon=True)
        thread.start()
        self._closing.append(thread)
