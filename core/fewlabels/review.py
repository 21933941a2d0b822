"""Files in, lists for people out: texts worth labelling, labels worth doubting."""

from pathlib import Path
from typing import Any

from core.data.encodings import require_file
from core.data.formats import find_format
from core.data.readers import read
from core.data.sources import Columns, Source
from core.errors import InputError
from core.fewlabels.label_errors import suspects
from core.fewlabels.next_labels import Question, next_labels


def questions(model: str, file: Path, column: str, count: int) -> list[Question]:
    """Texts of a plain file to label next for a tuned classifier. Raises InputError for a file without such texts."""
    import numpy as np

    from core.serving.encoder import load_encoder
    from core.serving.predictor import load_predictor

    predictor = load_predictor(model)
    texts = list(dict.fromkeys(text for text in _texts(file, column) if text.strip()))
    if not texts:
        raise InputError(f"{file}: column {column!r} has no text; name another with --text.")
    found = predictor.predict(texts)
    probabilities = np.array([[p.probabilities[label] for label in predictor.labels] for p in found])
    vectors = load_encoder(predictor.recipe.backbone).encode(texts)
    return next_labels(texts, probabilities, vectors, predictor.labels, min(count, len(texts)))


def doubtful(file: Path, format: str, text: str, label: str, backbone: str) -> list[dict[str, Any]]:
    """Rows of a labelled file whose label is probably wrong, with the row's number in the file."""
    from core.serving.encoder import load_encoder

    columns = Columns(text=text, label=label)
    frame = read(Source(path=file, format=format), "classification", columns).frame
    frame = frame.dropna(subset=["text", "label"]).reset_index(drop=True)
    if len(frame) < 10:
        raise InputError(f"{file}: {len(frame)} labelled rows are too few to doubt any; give at least 10.")
    texts = list(frame["text"])
    found = suspects(texts, list(frame["label"]), load_encoder(backbone).encode(texts))
    rows = list(frame["row"]) if "row" in frame else list(range(len(frame)))
    return [{**s.to_dict(), "row": int(rows[s.row])} for s in found]


def _texts(file: Path, column: str) -> list[str]:
    import pandas as pd

    require_file(file)
    source = Source(path=file)
    frame = pd.DataFrame(find_format(source).read(source, [column]).columns, columns=[column])
    return [str(cell) for cell in frame[column] if not pd.isna(cell)]
