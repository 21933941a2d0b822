"""Where labelled text is found: a path, its format, and which column means what."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Columns(BaseModel):
    """Column names in a plain table (csv, tsv, jsonl, parquet); official formats need none."""

    model_config = ConfigDict(extra="forbid")

    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    positive: str = "positive"
    negative: str | None = None
    query: str = "query"
    document: str = "document"
    prompt: str = "prompt"
    reply: str = "reply"
    group: str | None = None
    time: str | None = None


class Source(BaseModel):
    """One file of labelled text; ``columns`` here overrides the recipe's."""

    model_config = ConfigDict(extra="forbid")

    path: Path
    format: str = "auto"
    split: str | None = Field(default=None, description="part of a file that holds several, e.g. clinc150: train")
    columns: Columns | None = None
    encoding: str | None = Field(default=None, description="found from the bytes unless given")
    relabel: dict[str, str] = Field(default={}, description="rename labels, to join sources with other conventions")


class Checks(BaseModel):
    """What is done about each kind of problem; everything done is reported with file and row."""

    model_config = ConfigDict(extra="forbid")

    blank_text: Literal["drop", "refuse"] = "drop"
    missing_label: Literal["drop", "refuse"] = "drop"
    duplicates: Literal["keep", "drop"] = "drop"
    conflicts: Literal["majority", "drop", "refuse"] = "majority"
    leakage: Literal["drop-from-train", "report", "refuse"] = "drop-from-train"
    unseen_labels: Literal["refuse", "drop"] = "refuse"
