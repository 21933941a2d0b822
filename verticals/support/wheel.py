"""What agents correct makes the classifier of intents better."""

from collections.abc import Sequence

from core.vertical import Wheel
from verticals.support.settings import SupportSettings


def wheels(settings: SupportSettings | None = None) -> Sequence[Wheel]:
    """The intents: from verdicts on replies that name an intent, and from approved proposals of new ones.

    The questions are redacted before they are recorded.
    """
    model = (settings or SupportSettings()).intents
    refusal = ""
    if not model:
        refusal = "HEADWATER_SUPPORT_INTENTS is empty: the bot works without intents."
    elif any(mark in model for mark in "/\\@:"):
        refusal = f"HEADWATER_SUPPORT_INTENTS is {model!r}; what is promoted is served only under a name without more."
    return [
        Wheel(
            "intents",
            "intents",
            model,
            # From the champion, low steps: what 77 intents need to know is there already.
            changes=("training.epochs=2", "training.learning_rate=5e-4", "training.head_start='probe'"),
            rehearse=40,
            refusal=refusal,
        )
    ]
