"""What reading yields: a table in canonical columns, and findings about what was wrong with it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from core.data.sources import Source

if TYPE_CHECKING:
    import pandas as pd

# "unlabelled" is how the rows of a matching recipe on text alone are read and checked.
Task = Literal["classification", "matching", "ranking", "generation", "unlabelled"]
Action = Literal["dropped", "kept", "repaired", "refused"]

TEXT_COLUMNS: dict[str, tuple[str, ...]] = {
    "classification": ("text", "text_pair"),
    "matching": ("text", "positive", "negative"),
    "ranking": ("query", "document"),
    "generation": ("prompt", "reply"),
    "unlabelled": ("text",),
}
LABELLED_TASKS = ("classification", "ranking")
EXAMPLES_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One kind of problem met in the data: what was done, how often, and where (``file:row column``)."""

    kind: str
    action: Action
    count: int
    examples: tuple[str, ...]
    message: str

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "examples": list(self.examples)}


@dataclass(frozen=True)
class Raw:
    """Columns as they stand in a file, and the 1-based line (parquet: data row) at which each row starts."""

    columns: dict[str, list[Any]]
    rows: list[int]
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class Table:
    """One source in canonical columns; ``licence`` is set for the official formats."""

    frame: "pd.DataFrame"
    source: Source
    findings: list[Finding]
    licence: str | None = None


Reader = Callable[[Source, Sequence[str]], Raw]


def place(file: object, row: int, column: str) -> str:
    """Name a cell the way findings do: ``file:row column``."""
    return f"{file}:{row} {column}"


def counted(n: float, noun: str) -> str:
    """``1 row``, ``7 rows``."""
    return f"{int(n)} {noun}" + ("" if n == 1 else "s")


def places(frame: "pd.DataFrame", column: str) -> tuple[str, ...]:
    """Name the first few cells of a column."""
    head = frame.head(EXAMPLES_SHOWN)
    return tuple(place(f, r, column) for f, r in zip(head["file"], head["row"], strict=True))


def text_columns(task: Task, present: Iterable[str]) -> list[str]:
    """The text columns of a task that a frame has, in canonical order."""
    have = set(present)
    return [name for name in TEXT_COLUMNS[task] if name in have]
