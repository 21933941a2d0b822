"""What people click trains the recommender, but not through labels."""

from collections.abc import Sequence

from core.vertical import Wheel


def wheels() -> Sequence[Wheel]:
    """One, refused: behaviour is events, not corrections, and a ranking is not judged by the gate for labels."""
    return (
        Wheel(
            "ranking",
            "ranking",
            "recommend",
            refusal="the recommender ranks items and learns from events, which are no corrected labels: the gate's "
            "accuracy, slices and calibration of classes do not apply. Train it with headwater recommend train, and "
            "judge it with headwater recommend evaluate.",
        ),
    )
