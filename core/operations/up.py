"""``headwater up``: prepare what is missing, start everything in order, keep it running, stop it together."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.operations.child import Child, Patience, Spec
from core.operations.plan import Plan, UpSettings, check_address, check_ports, environment
from core.settings import Settings

Tell = Callable[[str, str], None]


@dataclass(frozen=True)
class Prepared:
    """How an application's preparation went."""

    ok: bool
    seconds: float
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"ok": self.ok, "seconds": round(self.seconds, 2), "reason": self.reason}


@dataclass
class Supervisor:
    """Everything of a plan, running. ``tell(name, line)`` gets what people should know, from several threads."""

    plan: Plan
    settings: Settings
    up: UpSettings
    tell: Tell
    patience: Patience = field(default_factory=Patience)
    children: dict[str, Child] = field(default_factory=dict)
    prepared: dict[str, Prepared] = field(default_factory=dict)
    seconds: float | None = None

    def check(self) -> None:
        """Raise InputError when a port is in use or nobody could sign in, before anything starts."""
        check_address(self.up.address, self.settings)
        check_ports(self.plan.specs, self.up.address)

    def start(self, stop: threading.Event) -> None:
        """Start what can serve at once, prepare the applications, then start what waited for that.

        The news is polled and the API answers while models are still being exported. One process follows another when
        that is healthy or given up: all at once would let each be slow on a small machine, and the health of all late.
        Returns early on ``stop``.
        """
        began = time.monotonic()
        for name, reason in self.plan.broken.items():
            self.tell(name, f"left out: {reason}")
        self._start([spec for spec in self.plan.specs if not spec.waits], stop)
        for name in self.plan.preparing:
            if stop.is_set():
                return
            self.prepared[name] = self._prepare(name, stop)
        self._start([spec for spec in self.plan.specs if spec.waits], stop)
        self.seconds = time.monotonic() - began

    def stop(self, at_once: threading.Event | None = None) -> None:
        """Stop all together; each has its time to end by itself, unless ``at_once`` is set meanwhile."""
        for child in self.children.values():
            child.ask_to_stop()
        killed = False
        while any(child.is_alive() for child in self.children.values()):
            if at_once is not None and at_once.is_set() and not killed:
                killed = True
                for child in self.children.values():
                    child.kill()
            for child in self.children.values():
                child.join(0.1)

    @property
    def healthy(self) -> bool:
        """Whether everything was prepared, loaded and is healthy at this moment."""
        return (
            not self.plan.broken
            and all(one.ok for one in self.prepared.values())
            and {spec.name for spec in self.plan.specs} == self.children.keys()
            and all(child.state == "healthy" for child in self.children.values())
        )

    @property
    def over(self) -> bool:
        """Whether every process was given up."""
        return bool(self.children) and not any(child.is_alive() for child in self.children.values())

    def to_dict(self) -> dict[str, Any]:
        """State of everything; ``seconds`` from the start until the last process was healthy or given up."""
        return {
            "healthy": self.healthy,
            "seconds": None if self.seconds is None else round(self.seconds, 2),
            "prepared": {name: one.to_dict() for name, one in self.prepared.items()},
            "processes": {name: child.to_dict() for name, child in self.children.items()},
            "left_out": dict(self.plan.broken),
        }

    def urls(self) -> Mapping[str, str]:
        """Where people find what is healthy."""
        return {
            name: child.spec.url
            for name, child in self.children.items()
            if child.spec.url is not None and child.state == "healthy"
        }

    def _start(self, specs: Sequence[Spec], stop: threading.Event) -> None:
        for spec in specs:
            if stop.is_set():
                return
            child = self._child(spec)
            self.children[spec.name] = child
            child.start()
            while not child.settled.wait(0.2) and not stop.is_set():
                pass

    def _child(self, spec: Spec, patience: Patience | None = None) -> Child:
        return Child(
            spec,
            self.settings.var / "logs",
            environment(self.settings, self.plan.only),
            self.tell,
            patience or self.patience,
        )

    def _prepare(self, name: str, stop: threading.Event) -> Prepared:
        command: Sequence[str] = ("{python}", "-m", "core.operations.prepare", name)
        spec = Spec(f"prepare-{name}", command, healthy=lambda: False, start_s=self.up.prepare_s, once=True)
        child = self._child(spec, Patience(tries=1))
        child.every = lambda line: self.tell(name, line)
        began = time.monotonic()
        child.start()
        while child.is_alive():
            child.join(0.2)
            if stop.is_set():
                child.ask_to_stop()
        took = time.monotonic() - began
        return Prepared(child.code == 0, took, None if child.code == 0 else child.reason)
