"""The finance dashboard in a browser, on the sample scraped and judged by the product itself."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tests.dashboards import looking
from tests.dashboards.looking import picture

pytestmark = pytest.mark.browser
WAIT = 120_000  # ms; a loaded machine is slow, and no test depends on how slow


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, serve_dashboard: Callable[..., str]) -> Iterator[SimpleNamespace]:
    """A dashboard on a var folder with the sample in it, its server and its database."""
    from verticals.finance.monitor import Monitor
    from verticals.finance.opening import open_store
    from verticals.finance.sample_feed import serve
    from verticals.finance.sample_truth import TruthLabeller
    from verticals.finance.settings import FinanceSettings

    var = tmp_path_factory.mktemp("finance-dashboard")
    with pytest.MonkeyPatch.context() as patch, serve() as base:
        port = base.rpartition(":")[2]
        patch.setenv("HEADWATER_VAR", str(var))
        patch.delenv("HEADWATER_DATABASE_URL", raising=False)
        settings = FinanceSettings(sample_port=int(port))
        engine = open_store(settings)
        monitor = Monitor(engine, settings, make_labeller=lambda settings: TruthLabeller())

        def fill() -> None:
            monitor.poll()
            while monitor.label():
                pass
            monitor.detect()
            monitor.deliver()
            monitor.close()

        with ThreadPoolExecutor(1) as pool:  # the browser's driver keeps an event loop in this thread
            pool.submit(fill).result()
        url = serve_dashboard("finance", var, HEADWATER_FINANCE_SAMPLE_PORT=port, HEADWATER_FINANCE_REFRESH="3600")
        yield SimpleNamespace(url=url, base=base, engine=engine)
        engine.dispose()


@pytest.fixture
def look(desk: SimpleNamespace, window: Any) -> Iterator[Callable[..., Any]]:
    """``look("alerts", "?lang=zh")`` gives the page once it is drawn."""
    view = window.new_page()
    view.set_default_timeout(WAIT)

    def open_page(name: str, query: str = "") -> Any:
        view.goto(f"{desk.url}/{name}{query}")
        view.wait_for_selector("h1")
        looking.settle(view)
        return view

    yield open_page
    view.close()


def settle(view: Any) -> None:
    """Wait until what was clicked or typed has been sent, run and drawn."""
    view.wait_for_timeout(700)
    looking.settle(view)


def press(view: Any, name: str) -> None:
    view.get_by_role("button", name=name).first.click()
    settle(view)


def test_the_overview_tells_what_happened(desk: SimpleNamespace, look: Callable[..., Any]) -> None:
    view = look("", "?lang=en")
    text = view.inner_text('[data-testid="stMain"]')
    for said in ("Merrowdale Bank", "Volterrin Mobility", "critical", "Latest negative stories", "8 / 8", "synthetic"):
        assert said in text
    picture(view, "finance-overview", whole=True)
    view.get_by_role("link", name="Decide").first.click()
    view.wait_for_url("**/alerts**")
    view.get_by_role("tab", name="Evidence").wait_for()
    settle(view)
    assert "Merrowdale" in view.inner_text('[data-testid="stMain"]')


def test_every_page_in_chinese(desk: SimpleNamespace, look: Callable[..., Any]) -> None:
    for name, said in (
        ("", "关注列表"),
        ("trends", "负面占比"),
        ("alerts", "证据"),
        ("article", "搜索标题"),
        ("rules", "灵敏度"),
        ("sources", "添加来源"),
    ):
        view = look(name, "?lang=zh")
        assert said in view.inner_text('[data-testid="stMain"]'), name
        picture(view, f"finance-zh-{name or 'overview'}")


def test_trends_show_the_surge_and_the_stories_behind_it(desk: SimpleNamespace, look: Callable[..., Any]) -> None:
    view = look("trends", "?scope=company&subject=VLTMOB&lang=en")
    charts = view.locator('[data-testid="stVegaLiteChart"]')
    charts.nth(2).wait_for()
    assert charts.count() == 3
    text = view.inner_text('[data-testid="stMain"]')
    assert "Volterrin Mobility" in text and "The stories behind it" in text
    assert " 0 times above it" not in text.split("Negative share · ")[0].rsplit("Band:", 1)[-1]
    assert view.get_by_role("button", name="Download CSV").count() == 2
    picture(view, "finance-trends", whole=True)


def test_an_alert_is_acknowledged_annotated_and_resolved(desk: SimpleNamespace, look: Callable[..., Any]) -> None:
    from verticals.finance.alerts import inbox

    alert = next(
        a for a in inbox.listed(desk.engine) if (a["rule"], a["subject"]) == ("company-negative-surge", "MRWDLB")
    )
    view = look("alerts", f"?alert={alert['id']}&lang=en")
    view.get_by_role("textbox", name="Your name").fill("mei")
    view.keyboard.press("Enter")
    settle(view)
    press(view, "Acknowledge")
    press(view, "Take it")
    press(view, "Note")
    view.get_by_role("textbox", name="Note").fill("called the desk")
    view.get_by_role("textbox", name="Note").blur()
    settle(view)
    view.locator('[data-testid="stPopoverBody"]').get_by_role("button", name="Save").click()
    settle(view)
    now = inbox.shown(desk.engine, alert["id"])
    assert (now["acknowledged_by"], now["assignee"]) == ("mei", "mei")
    assert ("note", "called the desk") in [(e["kind"], e["detail"].get("text")) for e in now["trail"]]
    picture(view, "finance-alerts", whole=True)
    press(view, "Resolve")
    assert inbox.shown(desk.engine, alert["id"])["status"] == "resolved"


def test_an_article_is_read_and_corrected(desk: SimpleNamespace, look: Callable[..., Any]) -> None:
    from verticals.finance import reading
    from verticals.finance.opening import utc_now

    now = utc_now()
    story = reading.stories(desk.engine, now - timedelta(days=3), now, "company", "VLTMOB", "negative")[0]
    view = look("article", f"?story={story['id']}&lang=en")
    text = view.inner_text('[data-testid="stMain"]')
    assert story["title"] in text and "Toward each company" in text and "Similar articles" in text
    picture(view, "finance-article", whole=True)
    panel = view.get_by_role("radiogroup", name="Sentiment", exact=True)
    panel.get_by_text("neutral").click()
    settle(view)
    press(view, "Save the correction")
    member = reading.story(desk.engine, story["id"])["members"][0]
    assert member["sentiment"] == "neutral" and "sentiment" in member["corrected"]
    assert look("article", "?article=99999&lang=en").get_by_text("no longer here").count() == 1


def test_a_rule_is_tried_before_it_is_saved(desk: SimpleNamespace, look: Callable[..., Any]) -> None:
    from verticals.finance import rulebooks
    from verticals.finance.settings import finance_settings

    view = look("rules", "?lang=en")
    fewest = view.get_by_label("Fewest stories")
    fewest.fill("9")
    fewest.press("Enter")
    settle(view)
    assert view.get_by_role("button", name="Put it in force").is_disabled()
    press(view, "Replay")
    view.get_by_text("With your change").wait_for()
    settle(view)
    picture(view, "finance-rules", whole=True)
    press(view, "Put it in force")
    saved = rulebooks.current(desk.engine, finance_settings())
    book = rulebooks.parse(saved.text)
    assert saved.number == 1 and book.rules[0].minimum_stories == 9
    assert saved.text.splitlines()[0].startswith("#")  # comments stay


def test_a_source_is_tested_before_it_is_watched(desk: SimpleNamespace, look: Callable[..., Any]) -> None:
    from verticals.finance import watch
    from verticals.finance.settings import finance_settings

    view = look("sources", "?lang=en")
    assert "8 of" in view.inner_text('[data-testid="stMain"]')

    def fill(label: str, value: str) -> None:
        field = view.get_by_label(label, exact=True)
        field.fill(value)
        field.press("Enter")
        settle(view)

    fill("Id", "inner")
    fill("Address", "http://169.254.169.254/latest/meta-data")
    press(view, "Test fetch")
    view.get_by_text("not a public address").wait_for()
    assert view.get_by_role("button", name="Watch it").is_disabled()
    fill("Id", "tapeside-latest")
    fill("Address", f"{desk.base}/tapeside/rss.xml")
    press(view, "Test fetch")
    view.get_by_text("items in").wait_for()
    picture(view, "finance-sources", whole=True)
    press(view, "Watch it")
    assert "tapeside-latest" in {one.id for one in watch.listed(desk.engine, finance_settings())}
