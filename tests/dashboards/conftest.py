"""A dashboard served for the tests, and Chromium to look at it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.settings import PROJECT_ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOW = "no Chromium here; apt-get install chromium, then make test runs the browser tests, too"

_SIMPLE = """
import streamlit as st
from core.access import audit
from core.settings import get_settings
from dashboards.parts import sign_in
from dashboards.parts.page import run

def desk(t):
    st.title("Inside")
    st.caption(f"acting as {sign_in.actor()}")
    if st.button("Change"):
        audit.note(get_settings(), "rules-save", "a test")
        st.caption("changed")

run("support", ":material/support_agent:", {"desk": desk}, role="agent")
"""


@pytest.fixture(scope="session")
def simple_dashboard() -> str:
    """The source of a dashboard with one page that says who is acting; for those with the role agent."""
    return _SIMPLE


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, driven by Playwright; closed with each file, since its event loop would be in others' way."""
    if CHROMIUM is None:
        pytest.skip(HOW)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-quic",
            ],
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def window(browser: Any) -> Iterator[Any]:
    """One browser context for a file's pages: what Streamlit's front end is made of is read and compiled once.

    Those that sign in want contexts of their own, since a context keeps its cookies.
    """
    made = browser.new_context(viewport={"width": 1440, "height": 1000}, reduced_motion="reduce")
    yield made
    made.close()


@pytest.fixture(scope="session")
def serve_dashboard() -> Iterator[Callable[..., str]]:
    """``serve_dashboard("support", var=folder, HEADWATER_X="y")`` starts one and gives its address."""
    running: list[subprocess.Popen[bytes]] = []

    def serve(name: str, var: Path, **environment: str) -> str:
        return _serve(running, PROJECT_ROOT / "dashboards" / f"{name}.py", var, "127.0.0.1", environment)

    yield serve
    for process in running:
        process.terminate()
    for process in running:
        process.wait(10)


@pytest.fixture(scope="session")
def serve_script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """``serve_script(source, var, "0.0.0.0")`` serves a dashboard written for a test; its address on loopback.

    ``port`` is a free one unless given.
    """
    running: list[subprocess.Popen[bytes]] = []

    def serve(source: str, var: Path, listen: str, port: int = 0, **environment: str) -> str:
        script = tmp_path_factory.mktemp("script") / "app.py"
        script.write_text(source, encoding="utf-8")
        return _serve(running, script, var, listen, {"PYTHONPATH": str(PROJECT_ROOT), **environment}, port)

    yield serve
    for process in running:
        process.terminate()
    for process in running:
        process.wait(10)


def _serve(
    running: list[subprocess.Popen[bytes]],
    script: Path,
    var: Path,
    listen: str,
    environment: Mapping[str, str],
    port: int = 0,
) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script)]
    options = {
        "server.port": port,
        "server.address": listen,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
    }
    command += [f"--{key}={value}" for key, value in options.items()]
    settings = {**os.environ, "HEADWATER_VAR": str(var), "HF_HUB_OFFLINE": "1", **environment}
    log = (var / f"{script.stem}-dashboard.log").open("wb")
    running.append(subprocess.Popen(command, env=settings, stdout=log, stderr=log, cwd=PROJECT_ROOT))
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/_stcore/health", timeout=2).status_code == 200:
                return url
        except httpx.HTTPError:
            time.sleep(0.3)
        if running[-1].poll() is not None:
            break
    raise AssertionError(f"the dashboard did not start: {Path(log.name).read_text()[-2000:]}")
