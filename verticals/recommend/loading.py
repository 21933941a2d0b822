"""From files to the store and from command-line words to a request."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.data.sources import Source
from core.errors import InputError
from verticals.recommend import cells
from verticals.recommend.behaviour import EventColumns, Events, read_events
from verticals.recommend.items import ItemColumns, Items, read_items
from verticals.recommend.recommender import Recommender
from verticals.recommend.rules import check_rules, matching, read_rules
from verticals.recommend.sample import load_sample
from verticals.recommend.scored import ScoredList
from verticals.recommend.settings import RecommendSettings, recommend_settings
from verticals.recommend.store import Store
from verticals.recommend.validation import EventChecks, Validation, validate

_ID = ("id", "item", "item_id")


def load(items: Path | None, events: Path | None, format: str = "auto", sample: bool = False) -> dict[str, Any]:
    """Read, check and store; ``{"items": {…}, "events": {…}, "validation": {…}}``, parts that were asked for.

    Raises InputError when nothing was named, and for events while there are no items.
    """
    settings = recommend_settings()
    store = Store.open(settings.core)
    if sample:
        first, second = load_sample(store, settings.sample)
        return {"items": first.to_dict(), "events": second.to_dict(), "synthetic": True}
    if items is None and events is None:
        raise InputError("Name what to load: --items FILE, --events FILE, or --sample.")
    told: dict[str, Any] = {}
    if items is not None:
        read = read_items(items, format)
        told["items"] = store.upsert_items(read, str(items)).to_dict()
        told["items"]["findings"] = [finding.to_dict() for finding in read.findings]
    if events is not None:
        checked = checked_events(store, read_events(events, format))
        told["events"] = store.append_events(checked.events, str(events)).to_dict()
        told["validation"] = checked.to_dict()
    return told


def checked_events(store: Store, events: Events, checks: EventChecks | None = None) -> Validation:
    """Events judged against the items that are stored; raises InputError when there are none."""
    known = store.items()
    if known is None:
        raise InputError("There are no items yet; load the items before the events.")
    return validate(events, known, lambda: datetime.now(UTC), checks)


def read_upload(
    items: Path | None, events: Path | None, item_columns: ItemColumns | None, event_columns: EventColumns | None
) -> tuple[Items | None, Events | None]:
    """Both tables with the caller's column names, unchecked."""
    return (
        None if items is None else read_items(items, columns=item_columns),
        None if events is None else read_events(events, columns=event_columns),
    )


def train_here(encoder: str | None, recipe: Path | None, note: str) -> dict[str, Any]:
    """Train on the store, on the sample when it is empty; the report goes to stderr.

    With a ``recipe`` (a path, or an empty one for the shipped recipe) the interest model is tuned first, and its
    vectors are used from then on.
    """
    import click

    from verticals.recommend.training import train

    def say(line: str) -> None:
        click.echo(line, err=True)

    settings = recommend_settings()
    store = Store.open(settings.core)
    if store.counts()["items"] == 0:
        say("the store is empty: loading the shipped sample (synthetic behaviour)")
        load_sample(store, settings.sample)
    if recipe is not None:
        encoder = tune_here(settings, store, recipe if recipe.name else None, say)
    return train(settings, say, encoder, note).to_dict()


def tune_here(settings: RecommendSettings, store: Store, recipe: Path | None, say: Callable[[str], None]) -> str:
    """Tune the interest model on the stored behaviour and register it; the folder of the new version."""
    from verticals.recommend.interests import RECIPE, draw_pairs, interest_recipe, tune_interests
    from verticals.recommend.snapshot import histories_of, strongest_of

    items, events = store.items(), store.events()
    if items is None or events is None:
        raise InputError("There is no behaviour to tune on; load items and events.")
    users, past = histories_of(events, items, strongest_of(events))
    pairs = draw_pairs(items, past, events, users)
    say(f"tuning the interest model on {len(pairs.train)} pairs")
    made = tune_interests(interest_recipe(pairs, settings.folder / "interest", recipe or RECIPE))
    return str(made.path)


def read_candidates(path: Path) -> list[str]:
    """Item ids of a text file, one a line, or of the column id (item, item_id) of a table."""
    if path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".parquet"):
        from core.data.plain import column_names

        source = Source(path=path)
        names = column_names(source)
        column = next((name for name in _ID if name in names), None)
        if column is None:
            raise InputError(f"{path}: none of its columns is called {', '.join(_ID)}; name the ids' column so.")
        raw, _ = cells.read_columns(source, [column])
        found = [cells.text(cell) for cell in raw.columns[column]]
        blank = next((row for row, cell in zip(raw.rows, found, strict=True) if cell is None), None)
        if blank is not None:
            raise InputError(f"{path}, row {blank}, column {column}: the id is blank; fill it or remove the row.")
        return [cell for cell in found if cell is not None]
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); give a text file with one item id a line.") from None
    return [line.strip() for line in lines if line.strip()]


def ask(how: Callable[[Recommender, dict[str, Any]], ScoredList], asked: dict[str, Any]) -> ScoredList:
    """Call the recommender with command-line options; ``--out`` also writes the rows."""
    out, rules_file, history = asked.pop("out"), asked.pop("rules_file"), asked.pop("history")
    given = {**asked, "rules": read_rules(rules_file) if rules_file else ()}
    if history is not None:
        given["history"] = [part.strip() for part in history.split(",") if part.strip()]
    found = how(Recommender.open(), given)
    if out is not None:
        write_table(found.to_frame(), out)
    return found


def write_table(frame: Any, path: Path) -> None:
    """A .csv or .parquet file, written aside and renamed. Raises InputError for another ending."""
    ending = path.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise InputError(f"{path}: write to a .csv or .parquet file.")
    waiting = path.with_name(f".{path.name}.new")
    frame.to_csv(waiting, index=False) if ending == ".csv" else frame.to_parquet(waiting, index=False)
    waiting.replace(path)


def check(file: Path) -> dict[str, Any]:
    """``{"rules": [{"label", "kind", "items"}]}``: how many items each is for. Raises InputError for odd rules."""
    store = Store.open(recommend_settings().core)
    items = store.items()
    if items is None:
        raise InputError("There are no items yet; load the items before checking rules.")
    found = read_rules(file)
    check_rules(found, items)
    return {"rules": [{"label": r.label, "kind": r.kind, "items": int(matching(r, items).sum())} for r in found]}
