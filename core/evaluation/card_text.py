"""Small pieces of Markdown for the model card: front matter, tables, numbers."""

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.evaluation.report import Card

# What model hubs call a licence; anything else is "other" with its name beside it.
_LICENCES = {
    name.replace("-", ""): name
    for name in (
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "agpl-3.0"),
        *("cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
        *("cc-by-nc-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "openrail", "unlicense"),
    )
}
# An underscore inside a word is no markup.
_MARKUP = re.compile(r"[\\|`*<>\[\]]|(?<!\w)_|_(?!\w)")
_PIPELINES = {
    "classification": "text-classification",
    "matching": "sentence-similarity",
    "ranking": "text-ranking",
    "generation": "text-generation",
}


def front_matter(card: "Card") -> str:
    """YAML between ``---`` lines: licence (the backbone's), tags, metrics and results for model hubs."""
    from huggingface_hub import EvalResult, ModelCardData

    licence = card.backbone_licence or "unknown"
    identifier = _LICENCES.get(re.sub(r"[\s_-]+", "", licence.casefold()))
    pipeline = _PIPELINES.get(card.task, card.task)
    values = {name: metric.get("value") for name, metric in card.metrics.items()}
    dataset = " + ".join(dict.fromkeys(s.name for s in card.sources if s.part in (None, "test"))) or card.name
    results = [
        EvalResult(
            task_type=pipeline,
            dataset_type=re.sub(r"[^a-z0-9._-]+", "-", dataset.casefold()),
            dataset_name=dataset,
            metric_type=name,
            metric_value=round(float(value), 6),
        )
        for name, value in values.items()
        if value is not None
    ]
    data = ModelCardData(
        license=identifier or "other",
        license_name=None if identifier else licence,
        language=list(card.languages) or None,
        library_name="headwater",
        pipeline_tag=pipeline,
        base_model=card.backbone,
        tags=list(dict.fromkeys(["headwater", card.task, card.method, pipeline])),
        metrics=list(values) or None,
        model_name=card.name if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml().strip()}\n---"


def section(title: str, body: str) -> str:
    """A second-level heading with its text."""
    return f"## {title}\n\n{body.strip()}"


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = (), escape: bool = True
) -> str:
    """A Markdown table; the columns numbered in ``right`` are right-aligned."""
    lines = [list(header), ["---:" if i in right else "---" for i in range(len(header))]]
    lines += [[cell(value) if escape else value for value in row] for row in rows]
    return "\n".join("| " + " | ".join(values) + " |" for values in lines)


def cell(value: str) -> str:
    """Text that cannot break out of its table cell or turn into markup."""
    return _MARKUP.sub(r"\\\g<0>", line(value))


def line(value: str) -> str:
    """Text on one line."""
    return " ".join(str(value).split())


def number(value: Any) -> str:
    """A count with thousands separators, a measure with four decimals, a dash for what was not measured."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.1f}"


def duration(seconds: float | None) -> str | None:
    """Seconds in words: ``8.3 s``, ``4 min 10 s``, ``2 h 5 min``."""
    if seconds is None:
        return None
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def fenced(content: str, language: str) -> str:
    """A code block whose fence is longer than any in the content."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", content)), default=0))
    return f"{fence}{language}\n{content.strip()}\n{fence}"
