"""The monitor: poll, label, tell stories, roll up, judge, deliver, prune.

Each stage finds its work in the database (a source's next check, an article's stage, a changed hour, the mark of the
last judgement, an undelivered message), so a process may be killed at any point and the next one goes on from there.
"""

import os
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from verticals.finance import detection, grouping, labelling, pruning, rollup, rulebooks, store, watch
from verticals.finance.alerts import channels, delivery
from verticals.finance.detection import Detected, Observe
from verticals.finance.grouping import Assign
from verticals.finance.labelling import Labeller
from verticals.finance.opening import open_store, utc_now
from verticals.finance.polling import Poller, Visited
from verticals.finance.settings import FinanceSettings, finance_settings

PATIENCE = timedelta(minutes=30)  # how long a backlog may keep the judgement waiting
SHORT = 20.0  # seconds after which a job leaves the rest to its next run

__all__ = ["Monitor", "open_store"]


@dataclass
class Monitor:
    """The stages with what they need. Everything with a model behind it is made at its first use."""

    engine: Engine
    settings: FinanceSettings = field(default_factory=finance_settings)
    clock: Callable[[], datetime] = utc_now
    make_labeller: Callable[[FinanceSettings], Labeller] | None = None
    assign: Assign | None = None
    observe: Observe | None = None
    send: delivery.Send = channels.send
    draw: random.Random = field(default_factory=random.Random)
    client: Any = None
    _labeller: Labeller | None = None
    _poller: Poller | None = None

    def poll(self) -> list[Visited]:
        """Visit sources whose time has come, until none is left or the job was long enough."""
        if self._poller is None:
            self._poller = Poller(self.engine, self.settings, self.clock, self.draw, self.client)
        found: list[Visited] = []
        end = time.monotonic() + SHORT
        while visits := self._poller.run():
            found += visits
            if time.monotonic() > end:
                break
        with self.engine.begin() as connection:
            store.mark(connection, "polled", self.clock(), {"visits": len(found)})
        return found

    def label(self) -> int:
        """Label what is new, tell its stories and count their hours. Returns how many articles were labelled."""
        done = 0
        end = time.monotonic() + SHORT
        # Stories are told only once no article waits: the oldest of a backlog must come first.
        while labelling.waiting(self.engine) or labelling.outdated(self.engine, self._version(), self.clock()):
            some = labelling.label_some(self.engine, self._model(), self.clock(), self.settings.batch)
            done += some
            if not some or time.monotonic() > end:
                break
        if not labelling.waiting(self.engine):
            while grouping.group_some(self.engine, self._assign(), self.settings.batch):
                if time.monotonic() > end + SHORT:
                    break
        rollup.roll_up(self.engine)
        return done

    def detect(self) -> Detected:
        """Judge every rule at the times since the last judgement, unless articles of that time are on their way."""
        now = self.clock()
        with self.engine.begin() as connection:
            if store.marked(connection, "started") is None:
                store.mark(connection, "started", now)
        rollup.roll_up(self.engine)
        watched = watch.listed(self.engine, self.settings)
        waiting = labelling.unfinished(self.engine)
        if not detection.ready(self.engine, watched, waiting, now, PATIENCE):
            return Detected()
        book = rulebooks.in_force(self.engine, self.settings)
        return detection.detect(self.engine, book, watched, self._observe(), now)

    def deliver(self) -> delivery.Delivered:
        """Send the messages that are due."""
        book = rulebooks.in_force(self.engine, self.settings)
        me = f"{socket.gethostname()}:{os.getpid()}"
        return delivery.deliver(self.engine, book, self.clock(), me, self.send, self.draw)

    def prune(self) -> dict[str, int]:
        """Forget what is older than it is kept."""
        return pruning.prune(self.engine, self.settings, self.clock())

    def close(self) -> None:
        """Close connections."""
        if self._poller is not None:
            self._poller.close()
            self._poller = None

    def _model(self) -> Labeller:
        if self._labeller is None:
            self._labeller = (self.make_labeller or _shipped_labeller)(self.settings)
        return self._labeller

    def _version(self) -> str | None:
        return self._labeller.version if self._labeller is not None else None

    def _assign(self) -> Assign:
        if self.assign is None:
            from verticals.finance.stories import assign

            self.assign = assign
        return self.assign

    def _observe(self) -> Observe:
        if self.observe is None:
            from verticals.finance.surges import observe

            self.observe = observe
        return self.observe


def _shipped_labeller(settings: FinanceSettings) -> Labeller:
    from verticals.finance.labels import Labeller as Models

    models: Any = Models.open(settings)
    return models
