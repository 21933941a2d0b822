"""What the browser tests share: waiting until a page is drawn, and keeping a picture of it."""

import os
from pathlib import Path
from typing import Any

_DRAWN = """() => document.querySelector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    && !document.querySelector('[data-testid="stSkeleton"]')
    && !document.querySelector('[data-testid="stStatusWidget"]')"""


def settle(view: Any) -> None:
    """Wait until the script has run and nothing is drawn any more, and see that nothing failed."""
    view.wait_for_function(_DRAWN)
    failed = view.locator('[data-testid="stException"]')
    assert failed.count() == 0, failed.first.inner_text()


def picture(view: Any, name: str, whole: bool = False) -> None:
    """Keep a picture for whoever wants to look: HEADWATER_SHOTS names the folder. Drawing one costs a second."""
    folder = os.environ.get("HEADWATER_SHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        view.screenshot(path=f"{folder}/{name}.png", full_page=whole)


def sign_in_page(browser: Any, patience: int) -> Any:
    """A page of a browser in which nobody has signed in yet; closing its context forgets it."""
    made = browser.new_context(viewport={"width": 1200, "height": 800}, locale="en-GB").new_page()
    made.set_default_timeout(patience)
    return made
