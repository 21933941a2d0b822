"""Made-up rows for every task: sentences of a few words about three topics."""

import random
from typing import Any

Rows = list[dict[str, Any]]

TOPICS = {
    "money": ["bank", "loan", "price", "profit", "share", "market", "debt", "bond", "coin", "rate"],
    "sport": ["goal", "team", "match", "score", "coach", "league", "race", "medal", "ball", "player"],
    "weather": ["rain", "storm", "wind", "cloud", "sun", "snow", "frost", "heat", "fog", "flood"],
}
COMMON = [
    *("the", "a", "of", "to", "in", "is", "was", "on", "very", "new"),
    *("old", "big", "small", "today", "again", "more", "less", "good", "bad", "late"),
]


def sentences(topic: str, count: int, seed: int) -> list[str]:
    """Different made-up sentences about one topic."""
    draw = random.Random(f"{topic}-{seed}")
    found: dict[str, None] = {}
    while len(found) < count:
        words = draw.sample(TOPICS[topic], draw.randint(1, 4)) + draw.sample(COMMON, draw.randint(1, 6))
        draw.shuffle(words)
        found[" ".join(words)] = None
    return list(found)


def _classification(count: int, seed: int) -> Rows:
    rows = [{"text": t, "label": topic} for topic in TOPICS for t in sentences(topic, count, seed)]
    random.Random(seed).shuffle(rows)
    return rows


def _multi_label(count: int, seed: int) -> Rows:
    rows = _classification(count, seed)
    mixed = []
    for first, second in zip(rows[::2], rows[1::2], strict=False):
        labels = sorted({first["label"], second["label"]})
        mixed.append({"text": f"{first['text']} {second['text']}", "label": "|".join(labels)})
    return mixed


def _pairs(count: int, seed: int) -> Rows:
    draw = random.Random(seed)
    rows = _classification(count, seed)
    return [
        {"text": r["text"], "text_pair": o["text"], "label": "same" if r["label"] == o["label"] else "other"}
        for r in rows
        for o in draw.sample(rows, 1)
    ]


def _matching(count: int, seed: int) -> Rows:
    draw = random.Random(seed)
    return [
        {"text": t, "positive": " ".join([*draw.sample(TOPICS[topic], 3), *draw.sample(COMMON, 3)])}
        for topic in TOPICS
        for t in sentences(topic, count, seed)
    ]


def _ranking(count: int, seed: int) -> Rows:
    rows = []
    for topic in TOPICS:
        for number, query in enumerate(sentences(topic, count, seed)):
            for other in TOPICS:
                document = sentences(other, count, seed + 1)[number]
                rows.append({"query": query, "document": document, "label": int(other == topic)})
    return rows


def _generation(count: int, seed: int) -> Rows:
    return [
        {"prompt": f"topic of {t} ?", "reply": f"it is {topic}"}
        for topic in TOPICS
        for t in sentences(topic, count, seed)
    ]


TABLES = {
    "classification": _classification,
    "multi-label": _multi_label,
    "pairs": _pairs,
    "matching": _matching,
    "ranking": _ranking,
    "generation": _generation,
}
