"""Questions that only make sense after the ones before them."""

import re
from collections.abc import Sequence

from verticals.support.replies import Turn

_LEANS = re.compile(
    r"^(?:and|but|so|also|then|ok(?:ay)?|what about|how about|what if|why not|how long|how much|is it|does it|do they|"
    r"can it|will it|when will it|where is it|it|that|this|those|these|they|same|else|yes|no|still)\b"
    r"|^(?:那|如果|它|还有)"
    r"|\b(?:it|that one|this one|they|them|there|instead|either)\b|^[^\w]*\w+(?:\W+\w+){0,2}[^\w]*$",
    re.IGNORECASE,
)
_FEW = 12  # words: a longer message says for itself what it is about


def leans_on_history(text: str, history: Sequence[Turn]) -> bool:
    """Whether a message may need the customer's question before it; no history, no need."""
    asked = any(turn.role == "customer" for turn in history)
    return asked and len(text.split()) <= _FEW and bool(_LEANS.search(text.strip()))


def with_history(text: str, history: Sequence[Turn], most: int = 2) -> str:
    """The customer's last ``most`` messages and this one, as one question."""
    earlier = [turn.text.strip() for turn in history if turn.role == "customer" and turn.text.strip()]
    return " ".join([*earlier[-most:], text])
