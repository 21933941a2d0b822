"""The Studio in the browser: upload, report, comparison, tuning, card, promotion; the same page in each dashboard."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dashboards.looking import picture

pytestmark = pytest.mark.browser
WAIT = 120_000
TOPICS = ("card", "loan")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    texts = (f"{('where is my card', 'can I take out a loan')[i % 2]} number {i}" for i in range(80))
    table = tmp_path / "questions.csv"
    table.write_text("id,question,topic\n" + "".join(f"{i},{text},{TOPICS[i % 2]}\n" for i, text in enumerate(texts)))
    return table


def test_from_a_table_to_a_promoted_model(
    browser: Any, serve_dashboard: Callable[..., str], tracked_var: Path, tiny_model: Path, rows: Path
) -> None:
    from core.serving.registry import Registry
    from core.settings import Settings

    registry = Registry(Settings(var=tracked_var))
    registry.register("questions", tiny_model, {}, "", "an earlier tuning")
    view = browser.new_page(viewport={"width": 1440, "height": 1000})
    view.set_default_timeout(WAIT)
    view.goto(f"{serve_dashboard('recommend', var=tracked_var)}/studio?lang=en")
    view.locator('input[type="file"]').set_input_files(str(rows))
    view.get_by_text("What was found in the data").wait_for()
    view.get_by_text("To judge on").wait_for()
    picture(view, "studio-data")
    view.get_by_role("tab", name="Compare").click()
    for method in ("head", "top-layers", "few-shot"):  # given by default, and slower
        view.get_by_role("button", name=method, exact=True).click()
    view.get_by_test_id("stBaseButton-primaryFormSubmit").click()
    view.get_by_text("Take ").wait_for()
    picture(view, "studio-compare")
    view.get_by_role("tab", name="Tune").click()
    view.get_by_role("combobox", name="Method").click()
    view.get_by_role("option", name="head", exact=True).click()
    view.get_by_role("button", name="Tune and register").click()
    view.get_by_text("questions 2", exact=True).first.wait_for()
    picture(view, "studio-tune")
    view.get_by_role("tab", name="Models").click()
    view.get_by_role("button", name="Promote").click()
    view.get_by_role("button", name="Roll back").wait_for()
    picture(view, "studio-models")
    assert registry.model("questions").aliases["production"] == 2
    view.get_by_role("button", name="Roll back").click()
    first = view.get_by_test_id("stMarkdown").filter(has_text="questions 1")
    first.filter(has_text="production").wait_for()
    assert registry.model("questions").aliases["production"] == 1
    view.close()


def test_a_table_that_nothing_can_be_learnt_from_says_why(
    browser: Any, serve_dashboard: Callable[..., str], tracked_var: Path, tmp_path: Path
) -> None:
    table = tmp_path / "one.csv"
    table.write_text("text,label\n" + "".join(f"row {i},same\n" for i in range(30)))
    view = browser.new_page(viewport={"width": 1440, "height": 1000})
    view.set_default_timeout(WAIT)
    view.goto(f"{serve_dashboard('finance', var=tracked_var)}/studio?lang=zh")
    view.locator('input[type="file"]').set_input_files(str(table))
    view.get_by_text("操作失败").wait_for()
    view.get_by_role("tab", name="比较").click()
    view.get_by_text("请先在“数据”页上传标注文本表格。").first.wait_for()
    picture(view, "studio-refused")
    view.close()
