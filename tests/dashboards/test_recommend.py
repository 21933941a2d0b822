"""The recommender's dashboard in Chromium: every page, both languages, and what a click changes."""

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.dashboards import looking
from tests.dashboards.looking import picture
from verticals.recommend.sample import NOTE, sample_events, sample_items
from verticals.recommend.settings import SAMPLE, recommend_settings
from verticals.recommend.simulator import Simulation
from verticals.recommend.store import Store
from verticals.recommend.training import train

pytestmark = pytest.mark.browser
PATIENCE = 60_000
PAGES = {"score": "Score candidates", "compare": "Compare two", "items": "Items", "cohorts": "Quality", "data": "Data"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, serve_dashboard: Callable[..., str]) -> Iterator[str]:
    """The dashboard over a small simulation on the shipped items, trained with the blend; no encoder is loaded."""
    var = tmp_path_factory.mktemp("recommend-dashboard")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADWATER_VAR", str(var))
        patch.setenv("HEADWATER_RECOMMEND_RANKER", "blend")
        settings = recommend_settings()
        store = Store.open(settings.core)
        store.upsert_items(sample_items(SAMPLE), NOTE)
        store.append_events(sample_events(SAMPLE, Simulation(users=60, visits=12)), NOTE)
        train(settings)
    yield serve_dashboard("recommend", var, HEADWATER_RECOMMEND_RANKER="blend")
    shutil.rmtree(var, ignore_errors=True)


@pytest.fixture
def page(window: Any) -> Iterator[Any]:
    made = window.new_page()
    made.set_default_timeout(PATIENCE)
    yield made
    made.close()


def settle(page: Any) -> None:
    """Wait until the script has run and has drawn what it says."""
    page.wait_for_selector("[data-testid='stHeading']")
    looking.settle(page)


def counted(page: Any) -> int:
    """The number of items that the page tells."""
    return int(page.get_by_text(re.compile(r"^\d+ items$")).first.inner_text().split()[0])


@pytest.mark.parametrize("name", list(PAGES))
def test_every_page_draws_in_both_languages(page: Any, address: str, name: str) -> None:
    page.goto(f"{address}/{'' if name == 'score' else name}?lang=en")
    settle(page)
    page.get_by_role("heading", name=PAGES[name]).first.wait_for()
    looking.settle(page)
    picture(page, f"recommend-{name}", whole=True)
    page.goto(f"{address}/{'' if name == 'score' else name}?lang=zh")
    settle(page)
    assert any("\u4e00" <= sign <= "\u9fff" for sign in page.locator("[data-testid='stHeading']").first.inner_text())
    picture(page, f"recommend-{name}-zh", whole=True)


def test_pasted_candidates_are_ranked_and_an_unknown_one_is_named(page: Any, address: str) -> None:
    ids = sample_items(SAMPLE).ids
    page.goto(f"{address}/?lang=en")
    settle(page)
    page.get_by_test_id("stButtonGroup").get_by_text("Paste").click()
    box = page.get_by_label("Item ids, one a line or separated by commas")
    box.fill("\n".join(ids[:4]))
    box.press("Control+Enter")
    page.get_by_text("Why “").first.wait_for()
    settle(page)
    picture(page, "recommend-score-pasted", whole=True)
    box.fill("no-such-item")
    box.press("Control+Enter")
    page.get_by_text("there is no item 'no-such-item'").wait_for()


def test_measuring_shows_every_system(page: Any, address: str) -> None:
    page.goto(f"{address}/cohorts?lang=en")
    settle(page)
    page.get_by_role("button", name="Measure").click()
    page.get_by_role("heading", name="By length of history").wait_for(timeout=10 * PATIENCE)
    looking.settle(page)
    picture(page, "recommend-cohorts-measured", whole=True)


def test_two_configurations_are_compared_with_an_interval(page: Any, address: str) -> None:
    page.goto(f"{address}/compare?lang=en")
    settle(page)
    page.get_by_role("button", name="Measure").click()
    page.get_by_text("paired bootstrap").wait_for(timeout=10 * PATIENCE)
    page.get_by_role("heading", name="Accuracy against variety").wait_for()
    looking.settle(page)
    picture(page, "recommend-compare-measured", whole=True)


def test_an_item_saved_as_new_is_there_at_once(page: Any, address: str) -> None:
    page.goto(f"{address}/items?lang=en")
    settle(page)
    before = counted(page)
    page.get_by_text("Save as a new item").click()
    page.get_by_test_id("stBaseButton-primaryFormSubmit").click()
    page.get_by_text("the data are at version").wait_for()
    page.goto(f"{address}/items?lang=en")
    settle(page)
    assert counted(page) == before + 1
