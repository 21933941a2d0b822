"""Stories: near titles within the window join, others do not, and running again decides the same."""

from datetime import UTC, datetime, timedelta

import numpy as np

from verticals.finance.stories import SPAN, WINDOW, StoryIndex, StoryPoint, assign

START = datetime(2024, 5, 6, 9, tzinfo=UTC)


def vector(*values: float) -> np.ndarray:
    made = np.array(values, np.float32)
    return made / np.linalg.norm(made)


NORTH, NEARLY, EAST = vector(1, 0, 0), vector(0.95, 0.2, 0), vector(0, 1, 0)


def point(
    number: int, hours: float, direction: np.ndarray | None, title: str = "", story: int | None = None
) -> StoryPoint:
    return StoryPoint(number, START + timedelta(hours=hours), direction, title, story)


def test_two_new_articles_of_one_story_share_a_lead_whatever_their_order() -> None:
    joined = assign([point(1, 5, NEARLY), point(2, 0, NORTH), point(3, 1, EAST)], [])
    assert [(one.story, one.lead) for one in joined] == [(None, 1), (None, 1), (None, 2)]


def test_joins_a_stored_story_within_the_window_only() -> None:
    old = [point(1, 0, NORTH, story=7)]
    inside, outside = WINDOW / timedelta(hours=1), WINDOW / timedelta(hours=1) + 1
    assert assign([point(2, inside, NEARLY)], old)[0].story == 7
    assert assign([point(2, outside, NEARLY)], old)[0].lead == 0


def test_a_story_does_not_go_on_for_ever() -> None:
    index = StoryIndex()
    hours = 0.0
    while hours <= SPAN / timedelta(hours=1):
        index.add(point(int(hours), hours, NORTH), 1)
        hours += 24
    assert index.find(point(99, hours, NORTH)) is None


def test_where_there_are_no_vectors_signs_decide() -> None:
    old = [point(1, 0, None, "梅罗代尔银行股价暴跌三成", 3)]
    assert assign([point(2, 1, None, "梅罗代尔银行股价暴跌")], old)[0].story == 3
    assert assign([point(2, 1, None, "央行宣布降息")], old)[0].story is None


def test_forgets_what_no_window_reaches() -> None:
    index = StoryIndex()
    index.add(point(1, 0, NORTH), 1)
    index.add(point(2, 100, EAST), 2)
    index.forget(START + timedelta(hours=50))
    assert index.find(point(3, 1, NORTH)) is None
    assert index.find(point(4, 101, EAST)) == 2


def test_many_articles_keep_their_places() -> None:
    rng = np.random.default_rng(0)
    index = StoryIndex()
    directions = [vector(*rng.normal(size=64)) for _ in range(700)]
    for number, direction in enumerate(directions):
        index.add(point(number, number / 100, direction), number)
    assert [index.find(point(0, i / 100, directions[i])) for i in (0, 255, 256, 511, 699)] == [0, 255, 256, 511, 699]
