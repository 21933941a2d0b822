"""What is computed for each row: labels, vectors or scores, by a model that is opened once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.bulk.options import Options
from core.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

Compute = Callable[[Sequence[Sequence[str]]], list[list[Any]]]
_GIVE_UP = 32  # rows that fail one by one before the fault is taken to be the model's


@dataclass(frozen=True)
class Subject:
    """The model of a run, found: a folder or name that means the same on the next run, and what tells its results."""

    reference: str
    fingerprint: str
    columns: tuple[str, ...]


def find_subject(options: Options) -> Subject:
    """Find the model and the columns it reads, without loading weights. Raises InputError when it does not fit."""
    from core.serving.encoder import find_network
    from core.serving.predictor import find_model
    from core.tuning.recipe import Recipe

    if options.operation == "embed" or (options.operation == "score" and not _task(options.model)):
        network = find_network(options.model)
        if network.output != "vectors":
            raise InputError(f"{options.model} gives labels or scores, not vectors; use bulk predict or bulk score.")
        tuned = (network.folder / "recipe.toml").is_file()
        place = str(network.folder.resolve()) if tuned or Path(options.model).exists() else options.model
        wanted = ("text",) if options.operation == "embed" else ("query", "document")
        return Subject(place, network.fingerprint, _columns(options, wanted))
    folder = find_model(options.model).resolve()
    recipe = Recipe.load(folder / "recipe.toml")
    names = recipe.data.columns
    if options.operation == "score":
        if recipe.task not in ("ranking", "matching"):
            raise InputError(f"{options.model} is a {recipe.task} model; bulk score needs one for ranking or matching.")
        default: tuple[str | None, ...] = (names.query, names.document)
    elif recipe.task in ("ranking", "matching"):
        raise InputError(f"{options.model} is a {recipe.task} model; use bulk score with query and document columns.")
    elif recipe.task == "generation":
        default = (names.prompt,)
    else:
        default = (names.text, names.text_pair)
    return Subject(str(folder), _fingerprint(folder), _columns(options, default))


def open_computation(options: Options, subject: Subject) -> Compute:
    """Load the model; the result takes columns of texts and gives a column of values for each name in ADDED."""
    if options.operation == "predict":
        from core.serving.files import predict_rows
        from core.serving.predictor import load_predictor

        predictor = load_predictor(subject.reference, engine=options.engine, long_texts=options.long_texts)
        return lambda texts: [list(found) for found in zip(*predict_rows(predictor, *texts), strict=True)]
    if options.operation == "score" and _task(subject.reference) == "ranking":
        from core.serving.predictor import load_predictor

        ranker = load_predictor(subject.reference, engine=options.engine, long_texts=options.long_texts)
        return lambda texts: [[float(value) for value in ranker.score(texts[0], texts[1])]]
    from core.serving.encoder import load_encoder

    encoder = load_encoder(subject.reference, engine=options.engine, long_texts=options.long_texts)
    if options.operation == "embed":
        return lambda texts: [list(encoder.encode(texts[0], options.passages))]
    return lambda texts: [
        [float(a @ b) for a, b in zip(encoder.encode(texts[0]), encoder.encode(texts[1], True), strict=True)]
    ]


def added_fields(options: Options, subject: Subject) -> list["pa.Field"]:
    """The Arrow fields of the results: text, float64, or float32 vectors."""
    import pyarrow as pa

    if options.operation == "predict":
        return [pa.field("prediction", pa.string()), pa.field("probability", pa.float64())]
    if options.operation == "score":
        return [pa.field("score", pa.float64())]
    return [pa.field("embedding", pa.list_(pa.float32()))]


def one_by_one(compute: Compute, texts: Sequence[Sequence[str]], errors: list[str | None]) -> list[list[Any]]:
    """Results of all rows; where a batch fails it is halved, and a row that fails alone gets its reason in ``errors``.

    Raises what the model raised when more than a few rows fail: then it is not the rows.
    """
    failed = 0

    def part(start: int, end: int) -> list[list[Any]]:
        nonlocal failed
        try:
            return compute([column[start:end] for column in texts])
        except MemoryError:
            raise
        except Exception as error:
            if end - start == 1:
                failed += 1
                if failed > _GIVE_UP:
                    raise
                errors[start] = f"the model failed: {type(error).__name__}: {error}"
                return []
            middle = (start + end) // 2
            # A row that failed leaves no value; its place is filled in by the caller, who sees its error.
            parts = part(start, middle), part(middle, end)
            return [sum(columns, []) for columns in zip(*(p for p in parts if p), strict=True)]

    return part(0, len(texts[0])) if texts[0] else []


def _columns(options: Options, default: Sequence[str | None]) -> tuple[str, ...]:
    given = [options.text, options.pair]
    if options.pair and len(default) == 1:
        raise InputError("this model reads one text, not a pair; leave out the second column.")
    chosen = [name or usual for name, usual in zip(given, default, strict=False)]
    return tuple(name for name in chosen if name)


def _task(reference: str) -> str | None:
    """The task of a tuned model; None for anything else."""
    from core.models.catalog import CATALOG
    from core.serving.predictor import find_model
    from core.tuning.recipe import Recipe

    if reference in CATALOG:
        return None
    try:
        return Recipe.load(find_model(reference) / "recipe.toml").task
    except InputError:
        return None


def _fingerprint(folder: Path) -> str:
    """By names, sizes and contents of what is computed with: the network's, or the files' for a generation model."""
    from core.search.versions import checksums
    from core.serving.predictor import Predictor

    try:
        return Predictor.network_of(folder).fingerprint
    except InputError:
        import hashlib

        return hashlib.sha256(repr(sorted(checksums(folder).items())).encode()).hexdigest()[:32]
