from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, insert

from core.errors import InputError
from core.operations.database import open_database
from verticals.support import tables
from verticals.support.dial import answered, refit, state, turn
from verticals.support.precision import Thresholds, Watched
from verticals.support.scope import Scope
from verticals.support.settings import SupportSettings

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def engine() -> Engine:
    return open_database(tables.metadata)


@pytest.fixture
def own(tmp_path: Path, small_scope: Scope) -> SupportSettings:
    small_scope.save(tmp_path / "scope")
    return SupportSettings(scope=tmp_path / "scope", thresholds=tmp_path / "support" / "thresholds.json")


def log(engine: Engine, count: int, seed: int, since: datetime, wrong: float = 0.0) -> None:
    """Made-up replies with the verdicts that their confidences promise, but for the share ``wrong``."""
    random = np.random.default_rng(seed)
    with engine.begin() as connection:
        if seed == 1:
            talk = {"id": "c", "channel": "api", "status": "open", "started": START, "updated": START, "summary": ""}
            connection.execute(insert(tables.conversations).values(talk))
        for n, sure in enumerate(random.beta(8, 1, count)):
            name, time = f"{seed}-{n}", since + timedelta(minutes=n)
            good = random.random() < sure and random.random() >= wrong
            reply = {"id": name, "conversation": "c", "question": "q", "answer": "a", "kind": "template", "time": time}
            more = {"confidence": float(sure), "latency_ms": 1.0, "groups": ["public"], "detail": {}}
            connection.execute(insert(tables.replies).values({**reply, **more}))
            verdict = {"reply": name, "verdict": "accepted" if good else "rejected", "reason": "", "actor": "x"}
            connection.execute(insert(tables.feedback).values({**verdict, "time": time}))


def test_nothing_judged_promises_nothing(engine: Engine, own: SupportSettings) -> None:
    found = state(engine, own)
    assert (found.judged, found.dial.threshold, found.drift.warning) == (0, None, False)
    with pytest.raises(InputError, match="cannot be promised"):
        turn(engine, own, 0.9)
    assert not own.thresholds.exists()


def test_turning_it_puts_thresholds_in_force_everywhere(engine: Engine, own: SupportSettings) -> None:
    watched = Watched(own.thresholds, {"scope": 0.5, "template": 0.5, "passage": 0.5})
    log(engine, 400, 1, START)
    assert len(answered(engine)) == 400
    found = turn(engine, own, 0.85, lambda: START + timedelta(days=2))
    assert found.thresholds.rows == 400 and found.thresholds.precision == 0.85
    assert watched.current() == found.thresholds != Thresholds(0.5, 0.5, 0.5)
    own.thresholds.write_text("{")
    assert watched.current() == found.thresholds


def test_new_judgements_refit_it_and_worse_ones_warn(engine: Engine, own: SupportSettings) -> None:
    log(engine, 400, 1, START)
    assert refit(engine, own) is None  # nobody has turned it
    turn(engine, own, 0.85, lambda: START + timedelta(days=2))
    log(engine, 30, 2, START + timedelta(days=3))
    assert refit(engine, own) is None  # too few new ones
    log(engine, 60, 3, START + timedelta(days=4))
    again = refit(engine, own, lambda: START + timedelta(days=5))
    assert again is not None and again.thresholds.rows == 490
    log(engine, 200, 4, START + timedelta(days=6), wrong=0.6)
    moved = state(engine, own).drift
    assert moved.warning and "recent answers were right" in moved.reason
