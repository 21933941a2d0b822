"""A bulk run on the disk: a folder with a manifest, and one file a shard that is there when it is finished.

``manifest.json`` is written once, before the first shard. A shard's receipt is written before its file is renamed into
place, so a finished shard always has one, and a process killed at any moment leaves whole shards only. Workers on
other machines need nothing but this folder and the input.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.bulk.computing import Subject
from core.bulk.layout import Layout, Shard, Suffix, fingerprint
from core.bulk.options import Options
from core.bulk.reading import changed
from core.errors import InputError

MANIFEST, RECEIPTS, VERSION = "manifest.json", "receipts", 1


@dataclass(frozen=True)
class Receipt:
    """What a finished shard cost: rows, those without a result, and seconds of computing."""

    number: int
    rows: int
    errors: int
    seconds: float


@dataclass(frozen=True)
class Job:
    """One run: where its shards are, what it reads, and how."""

    folder: Path
    path: Path
    input: dict[str, Any]
    layout: Layout
    options: Options
    subject: Subject
    suffix: Suffix

    def part(self, shard: Shard) -> Path:
        """The file of a shard."""
        return self.folder / f"part-{shard.number:06d}{self.suffix}"

    def receipt(self, number: int) -> Path:
        """Where a shard's receipt is."""
        return self.folder / RECEIPTS / f"{number:06d}.json"

    def finished(self) -> list[Receipt]:
        """Receipts of the shards that are there, in order."""
        there = {path.name for path in self.folder.iterdir()}
        done = [shard.number for shard in self.layout.shards if self.part(shard).name in there]
        return [Receipt(**json.loads(self.receipt(number).read_text(encoding="utf-8"))) for number in done]

    def check_input(self) -> None:
        """Raise InputError when the input is not the file the run began with."""
        if fingerprint(self.path) != self.input:
            raise changed(self.path)

    def save(self) -> None:
        """Write the manifest."""
        from core.evaluation.files import write_text

        shards = [[shard.rows, shard.offset] for shard in self.layout.shards]
        values = {
            "version": VERSION,
            "input": {"path": str(self.path.resolve()), **self.input},
            "options": self.options.model_dump(),
            "subject": asdict(self.subject),
            "suffix": self.suffix,
            "layout": {
                "suffix": self.layout.suffix,
                "delimiter": self.layout.delimiter,
                "columns": self.layout.columns,
                "shards": shards,
            },
        }
        (self.folder / RECEIPTS).mkdir(parents=True, exist_ok=True)
        write_text(self.folder / MANIFEST, json.dumps(values, ensure_ascii=False))

    @classmethod
    def load(cls, folder: Path) -> "Job":
        """Read a run's manifest. Raises InputError when it is none of ours."""
        place = folder / MANIFEST
        try:
            values = json.loads(place.read_text(encoding="utf-8"))
            if values["version"] != VERSION:
                raise InputError(f"{place} was written by another version; start again into another place.")
            found = values["layout"]
            subject = {**values["subject"], "columns": tuple(values["subject"]["columns"])}
            path = Path(values["input"].pop("path"))
            layout = Layout(found["suffix"], found["delimiter"], found["columns"], _shards(found["shards"]))
            options = Options(**values["options"])
            return cls(folder, path, values["input"], layout, options, Subject(**subject), values["suffix"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{place} is no manifest of a bulk run ({error}); choose another place.") from None

    def check_same(self, path: Path, options: Options, suffix: Suffix) -> None:
        """Raise InputError when a command asks for something else than this run began."""
        if path.resolve() != self.path:
            raise InputError(f"{self.folder} holds a run over {self.path}; choose another place for {path}.")
        before = {**self.options.model_dump(), "format": self.suffix}
        now = {**options.model_dump(), "format": suffix}
        for name in before:
            if before[name] != now[name]:
                raise InputError(
                    f"{self.folder} holds a run with {name} = {before[name]}, not {now[name]}; "
                    "give the same options to go on, or choose another place."
                )
        self.check_input()


def _shards(values: Sequence[Sequence[int]]) -> tuple[Shard, ...]:
    shards, first = [], 0
    for number, (rows, offset) in enumerate(values):
        shards.append(Shard(number, first, rows, offset))
        first += rows
    return tuple(shards)
