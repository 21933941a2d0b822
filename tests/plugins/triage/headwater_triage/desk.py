"""Messages in, urgencies out, people's word last."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from sqlalchemy import Engine, case, func, insert, select, update

from core.errors import InputError
from core.operations.database import open_database
from core.operations.feedback import Correction, record
from core.operations.lease import fence
from headwater_triage.tables import messages, metadata

URGENCIES = ("emergency", "soon", "routine")
MODEL = "triage"
SLICE = 256  # messages one run of the job assesses; the rest is left to the next
LONGEST = 20_000  # characters

Assess = Callable[[Sequence[str]], Sequence[tuple[str, float]]]


def sample(name: str) -> str:
    """The path of a file that comes with the package."""
    return str(files("headwater_triage") / "data" / name)


def tune(settings: Any = None) -> Any:
    """Tune the model on the synthetic sample by the package's recipe and register it."""
    from core.tuning.recipe import Recipe
    from core.workflow import tune as run

    paths = [f"data.train.path={sample('synthetic-messages.csv')}", f"data.test.path={sample('synthetic-test.csv')}"]
    return run(Recipe.load(sample("recipe.toml"), paths), settings=settings)


def by_model(texts: Sequence[str]) -> Sequence[tuple[str, float]]:
    """Urgency and its probability for each text, by the version in production."""
    from core.serving.predictor import load_predictor

    found = load_predictor(MODEL).predict(list(texts))
    return [(str(one.label), float(one.probability)) for one in found]


class Desk:
    """The table of messages."""

    def __init__(self, engine: Engine, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.engine, self._now = engine, now

    @classmethod
    def open(cls) -> "Desk":
        """On the configured database."""
        return cls(open_database(metadata))

    def add(self, texts: Sequence[str]) -> list[int]:
        """Take messages in; their numbers. Raises InputError for a blank or very long one."""
        for number, text in enumerate(texts, 1):
            if not text.strip() or len(text) > LONGEST or "\0" in text:
                raise InputError(f"message {number} is blank, has a NUL, or more than {LONGEST:,} characters; mend it.")
        with self.engine.begin() as db:
            return [
                int(db.execute(insert(messages).values(text=text, received=self._now())).inserted_primary_key[0])
                for text in texts
            ]

    def assess(self, by: Assess = by_model) -> int:
        """Assess the oldest messages that were not; safe to be killed at any point. Returns how many."""
        wanted = select(messages.c.id, messages.c.text).where(messages.c.urgency.is_(None)).order_by(messages.c.id)
        with self.engine.connect() as db:
            rows = db.execute(wanted.limit(SLICE)).all()
        if not rows:
            return 0
        found = by([row.text for row in rows])
        with self.engine.begin() as db:
            fence(db)  # a worker that lost its lease meanwhile writes nothing
            for row, (urgency, probability) in zip(rows, found, strict=True):
                values = {"urgency": urgency, "probability": probability, "assessed": self._now()}
                db.execute(update(messages).where(messages.c.id == row.id).values(**values))
        return len(rows)

    def queue(self, limit: int = 50) -> list[dict[str, Any]]:
        """What to look at, the most urgent first; a person's word comes before the model's, the unassessed on top."""
        last = func.coalesce(messages.c.said, messages.c.urgency)
        rank = case({name: place for place, name in enumerate(URGENCIES, 1)}, value=last, else_=0)
        wanted = select(messages).order_by(rank, messages.c.received, messages.c.id).limit(limit)
        with self.engine.connect() as db:
            rows = db.execute(wanted).mappings().all()
        return [{name: v.isoformat() if isinstance(v, datetime) else v for name, v in row.items()} for row in rows]

    def say(self, message: int, urgency: str, actor: str) -> None:
        """Record what a person says instead: in the queue, and as a training row for the next model."""
        if urgency not in URGENCIES:
            raise InputError(f"there is no urgency {urgency!r}; choose one of {', '.join(URGENCIES)}.")
        from core.api.problems import NotFound

        with self.engine.begin() as db:
            row = db.execute(select(messages).where(messages.c.id == message)).one_or_none()
            if row is None:
                raise NotFound(f"there is no message {message}.")
            db.execute(update(messages).where(messages.c.id == message).values(said=urgency))
            made = {"vertical": "triage", "task": "urgency", "text": row.text, "label": urgency, "actor": actor}
            detail = {"model": row.urgency, "probability": row.probability}
            source = f"message:{message}:{self._now().isoformat()}"
            record(db, Correction(**made, time=self._now(), source=source, detail=detail))

    def unassessed(self) -> tuple[int, datetime | None]:
        """How many wait for the model, and since when."""
        wanted = select(func.count(), func.min(messages.c.received)).where(messages.c.urgency.is_(None))
        with self.engine.connect() as db:
            count, oldest = db.execute(wanted).one()
        return count, oldest
