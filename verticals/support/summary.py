"""What the human who takes a conversation over should know at a glance."""

from collections.abc import Sequence

from verticals.support.intents import IntentGuess
from verticals.support.replies import Turn
from verticals.support.retrieval import Found

_LONGEST = 300


def summarise(
    asked: str, history: Sequence[Turn], guess: IntentGuess | None, found: Sequence[Found], reason: str
) -> str:
    """Question, what was said before, what it may be about, what was looked at, and why it is handed over."""
    lines = [f"Question: {_cut(asked)}"]
    earlier = [turn for turn in history if turn.role == "customer"]
    if earlier:
        first = f"first: {_cut(earlier[0].text)}"
        lines.append(f"Before: {len(history)} messages; {first}")
    if guess is not None:
        likely = ", ".join(f"{name.replace('_', ' ')} ({share:.0%})" for name, share in guess.ranked[:3])
        lines.append(f"Perhaps about: {likely}")
    titles = list(dict.fromkeys(one.document.title for one in found))[:3]
    if titles:
        lines.append(f"Looked at: {'; '.join(titles)}")
    lines.append(f"Handed over because: {reason}")
    return "\n".join(lines)


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
