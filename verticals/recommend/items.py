"""Items: what can be recommended, as a table of texts, a category, a date and any further columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from core.data.sources import Source
from core.data.table import Finding
from core.errors import InputError
from verticals.recommend import cells

CANONICAL = ("id", "title", "description", "tags", "category", "published")
_PLACE = ("file", "row")
_BLANK = {"nan", "null", "none", "n/a"}  # what other programs write where there is no number


class ItemColumns(BaseModel):
    """Column names in a table of items; only ``id`` must be there, the rest is taken where it is."""

    model_config = ConfigDict(extra="forbid")

    id: str = "id"
    title: str = "title"
    description: str = "description"
    tags: str = "tags"
    category: str = "category"
    published: str = "published"


@dataclass(frozen=True)
class Items:
    """Items in file order; ``frame`` has the columns of ``CANONICAL``, further ones, ``file`` and ``row``.

    ``id`` is unique text; ``title``, ``description`` and ``category`` are texts, empty where missing; ``tags`` is a
    list of texts; ``published`` is a UTC time or NaT. ``findings`` tell what was repaired or dropped.
    """

    frame: pd.DataFrame
    findings: list[Finding] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The ids, in order; an item's number everywhere is its position here."""
        return tuple(self.frame["id"])

    @cached_property
    def positions(self) -> dict[str, int]:
        """Id -> number."""
        return {id: number for number, id in enumerate(self.ids)}

    @cached_property
    def texts(self) -> list[str]:
        """What an encoder reads of each item: title, tags and description; the id where all are blank."""
        columns = (self.frame[name] for name in ("id", "title", "tags", "description"))
        return [
            ". ".join(part.rstrip(".") for part in (title, ", ".join(tags), description) if part) or id
            for id, title, tags, description in zip(*columns, strict=True)
        ]

    @cached_property
    def categories(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The categories that occur, sorted, and the number of each item's; items without one share ``""``."""
        names, codes = np.unique(self.frame["category"].to_numpy(dtype=str), return_inverse=True)
        return tuple(names.tolist()), codes.astype(np.int64)

    @cached_property
    def published(self) -> NDArray[np.float64]:
        """Seconds since 1970 [n], NaN where unknown."""
        return seconds(self.frame["published"])

    @cached_property
    def numeric(self) -> dict[str, NDArray[np.float64]]:
        """The further columns that hold only numbers and blanks, as float64 [n] with NaN for blanks."""
        found = {}
        for name in self.frame.columns.difference([*CANONICAL, *_PLACE], sort=False):
            words = [cells.text(cell) for cell in self.frame[name]]
            given = np.array([word is not None and word.casefold() not in _BLANK for word in words])
            # 0114709 is a code, not a number.
            coded = any(word[:1] == "0" and word[1:].isdigit() and word != "0" for word in words if word)
            values = cells.numbers(self.frame[name].tolist())
            if given.any() and not coded and np.isfinite(values[given]).all():
                found[str(name)] = values
        return found

    def numbers_of(self, ids: Sequence[str], where: str = "candidates") -> NDArray[np.int64]:
        """The numbers of ids; raises InputError naming the first unknown one and its place in the list."""
        found = np.fromiter((self.positions.get(id, -1) for id in ids), dtype=np.int64, count=len(ids))
        if found.size and found.min() < 0:
            at = int(np.argmin(found))
            raise InputError(f"{where}, entry {at + 1}: there is no item {ids[at]!r}; add it to the items first.")
        return found

    def upsert(self, newer: "Items") -> "Items":
        """These items with ``newer`` over them: known ids are replaced in place, new ones come last."""
        known = newer.frame["id"].isin(self.positions)
        kept = self.frame.assign(**dict.fromkeys(newer.frame.columns.difference(self.frame.columns)))
        rows = dict(zip(newer.frame["id"], newer.frame.to_dict("records"), strict=True))
        records = [{**old, **rows.get(old["id"], {})} for old in kept.to_dict("records")]
        records += newer.frame[~known].to_dict("records")
        return Items(_typed(pd.DataFrame.from_records(records)), [*self.findings, *newer.findings])


def seconds(column: "pd.Series[Any]") -> NDArray[np.float64]:
    """UTC times as seconds since 1970, NaN for NaT."""
    stamps = column.dt.as_unit("us")
    return np.where(stamps.isna(), np.nan, stamps.astype("int64").to_numpy(dtype=np.float64) / 1e6)


def read_items(
    path: str | Path, format: str = "auto", columns: ItemColumns | None = None, encoding: str | None = None
) -> Items:
    """Items of a csv, tsv, jsonl or parquet table, or of the formats ``movielens`` and ``mind``.

    Columns that are not mapped are kept under their own names. Tags are a list, a JSON list or ``a|b``. Blank ids are
    dropped, of several rows with one id the last holds; both are told in ``findings``. Raises InputError naming
    file, row and column.
    """
    path = Path(path)
    if format == "movielens":
        from verticals.recommend.movielens import read_movies

        return tidy(*read_movies(path))
    if format == "mind":
        from verticals.recommend.mind import read_news

        return tidy(*read_news(path))
    mapping = columns or ItemColumns()
    source = Source(path=path, format=format, encoding=encoding)
    wanted = {name: getattr(mapping, name) for name in CANONICAL}
    given = [wanted[name] for name in CANONICAL if name == "id" or (columns and name in columns.model_fields_set)]
    existing = cells.column_names(source)
    taken = set(wanted.values())
    reserved = {*CANONICAL, *_PLACE}
    further = [name for name in existing if name and name not in taken and name not in reserved]
    raw, _ = cells.read_columns(source, given, [*wanted.values(), *further])
    values: dict[str, Any] = {}
    for name, column in wanted.items():
        if column not in raw.columns:
            values[name] = [None] * len(raw.rows)
        elif name == "tags":
            values[name] = [
                cells.several(cell, f"{path}, row {row}, column {column}")
                for row, cell in zip(raw.rows, raw.columns[column], strict=True)
            ]
        elif name == "published":
            values[name] = raw.columns[column]
        else:
            values[name] = cells.texts(raw, column)
    values |= {name: raw.columns[name] for name in further}
    frame = pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in values.items()})
    frame["file"], frame["row"] = str(path), raw.rows
    return tidy(frame, raw.findings)


def tidy(frame: pd.DataFrame, findings: Sequence[Finding] = ()) -> Items:
    """Items from untyped columns: blank ids and older rows of an id go, odd dates become missing; all is told.

    Raises InputError when nothing is left.
    """
    found = list(findings)
    given = frame["published"].map(lambda cell: cells.text(cell) is not None)
    frame = frame.assign(published=cells.times(frame["published"].tolist()).to_numpy())
    odd = given & frame["published"].isna()
    found += cells.told("published", "repaired", frame, odd, "published", "publication dates are no dates: left out.")
    blank = frame["id"].map(lambda id: cells.text(id) is None)
    found += cells.told("missing_id", "dropped", frame, blank, "id", "rows without an id, dropped.")
    frame = frame[~blank]
    older = frame.duplicated("id", keep="last")
    found += cells.told("duplicate_item", "dropped", frame, older, "id", "rows repeat an id below; the last one holds.")
    frame = frame[~older]
    if frame.empty:
        raise InputError("The items table has no row with an id; give at least one item.")
    items = Items(_typed(frame), found)
    silent = (items.frame["title"] == "") & (items.frame["description"] == "") & ~items.frame["tags"].map(bool)
    what = "items have no text, so they can only be found by behaviour."
    found += cells.told("blank_text", "kept", items.frame, silent, "title", what)
    return replace(items, findings=found)


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    texts = {
        name: pd.Series([cells.text(cell) or "" for cell in frame[name]], dtype="str")
        for name in ("id", "title", "description", "category")
    }
    tags = pd.Series([tags if isinstance(tags, list) else [] for tags in frame["tags"]], dtype=object)
    published = pd.to_datetime(pd.Series(frame["published"].to_numpy()), utc=True).dt.as_unit("us")
    rest = frame.drop(columns=list(CANONICAL)).reset_index(drop=True)
    return pd.concat([pd.DataFrame({**texts, "tags": tags, "published": published}), rest], axis=1)
