"""What analysts relabel makes the sentiment and the topics better."""

from collections.abc import Sequence
from typing import Any

from core.vertical import Wheel

# From the champion, low steps: what was learnt from many thousand headlines is there already.
_GENTLY = ("training.epochs=1", "training.learning_rate=3e-4", "training.head_start='probe'")


def _english(correction: Any) -> bool:
    """The shipped models read English; headlines in other languages are another model's."""
    from verticals.finance.languages import language_of

    return language_of(correction.text) == "en"


def wheels() -> Sequence[Wheel]:
    """Sentiment of a headline, its topic, and, refused, the sentiment toward a company."""
    return (
        Wheel("sentiment", "sentiment", "finance-sentiment", changes=_GENTLY, rehearse=1500, keep=_english),
        Wheel("topic", "topic", "finance-topics", changes=_GENTLY, rehearse=200, keep=_english),
        Wheel(
            "company",
            "company-sentiment",
            "finance-entities",
            refusal="sentiment toward a company is corrected as a pair of headline and name; the frozen test and the "
            "gate's checks are for single texts, so these corrections wait for a tuning by hand.",
        ),
    )
