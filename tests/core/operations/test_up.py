"""The supervisor: all are started in order and stop together; the command in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from core.operations.child import Spec
from core.operations.plan import UpSettings
from core.operations.up import Plan, Supervisor
from core.settings import PROJECT_ROOT, get_settings
from tests.core.operations.supervised import PATIENCE, PYTHON, QUICK, Told, free_port, gone


def test_one_after_another_and_all_stop_together(private_var: Path, told: Told) -> None:
    order: list[str] = []

    def spec(name: str) -> Spec:
        return Spec(name, (*PYTHON, "import time; time.sleep(600)"), lambda: order.append(name) or True)

    running = Supervisor(Plan((spec("a"), spec("b"), spec("c")), ()), get_settings(), UpSettings(), told, QUICK)
    running.start(threading.Event())
    assert running.healthy and running.to_dict()["healthy"] and list(dict.fromkeys(order)) == ["a", "b", "c"]
    running.stop()
    assert not running.healthy and running.over
    assert {child.state for child in running.children.values()} == {"stopped"}


def test_one_that_fails_holds_up_no_other(private_var: Path, told: Told) -> None:
    bad = Spec("bad", (*PYTHON, "raise SystemExit(1)"), lambda: False)
    good = Spec("good", (*PYTHON, "import time; time.sleep(600)"), lambda: True)
    running = Supervisor(Plan((bad, good), ()), get_settings(), UpSettings(), told, QUICK)
    running.start(threading.Event())
    status = running.to_dict()
    running.stop()
    assert not status["healthy"]
    assert [one["state"] for one in status["processes"].values()] == ["failed", "healthy"]


SHOP = """
import os, time
from core.errors import InputError
from core.vertical import Job, Vertical

def prepare(report):
    report("unpacking")
    if os.environ.get("SPOILED"):
        raise InputError("the goods are spoiled; order new ones.")

vertical = Vertical("shop", "a shop", jobs=lambda: [Job("tick", lambda: None, 1)], prepare=prepare,
                    dashboard={dashboard!r})
"""


@pytest.fixture
def shop(tmp_path: Path) -> dict[str, str]:
    """The environment in which an application ``shop`` is installed."""
    site = tmp_path / "site"
    info = site / "shop-1.0.dist-info"
    info.mkdir(parents=True)
    dashboard = tmp_path / "shop_dashboard.py"
    dashboard.write_text("import streamlit\nstreamlit.write('open')\n")
    (site / "shop.py").write_text(SHOP.format(dashboard=str(dashboard)))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[headwater.verticals]\nshop = shop:vertical\n")
    return {**os.environ, "PYTHONPATH": str(site)}


def up(*options: str) -> list[str]:
    ports = [f"--port=api={free_port()}", f"--port=shop={free_port()}"]
    return [sys.executable, "-m", "core.cli", "up", "--only", "shop", *ports, *options]


def test_check_starts_everything_and_leaves_nothing(shop: dict[str, str], private_var: Path) -> None:
    before = {process.pid for process in psutil.process_iter()}
    done = subprocess.run(up("--check"), env=shop, cwd=PROJECT_ROOT, capture_output=True, text=True)
    status = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert status["healthy"] and status["prepared"]["shop"]["ok"]
    assert {name: one["state"] for name, one in status["processes"].items()} == {
        "api": "healthy", "worker": "healthy", "shop-dashboard": "healthy",
    }  # fmt: skip
    assert "shop: unpacking" in done.stderr
    left = [p for p in psutil.process_iter(["cmdline"]) if p.pid not in before and str(private_var) in _words(p)]
    assert left == []


def test_interrupted_it_stops_all_and_what_could_not_be_prepared_is_told(
    shop: dict[str, str], private_var: Path
) -> None:
    process = subprocess.Popen(
        up(), env={**shop, "SPOILED": "1"}, cwd=PROJECT_ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    heard = []
    try:
        for line in process.stderr:
            heard.append(line)
            if "Ctrl-C stops" in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 6, "a leash and a process for each of three"
        process.send_signal(signal.SIGINT)
        heard.append(process.stderr.read())
        assert process.wait(PATIENCE) == 0
        assert all(gone(child.pid) for child in children)
    finally:
        process.kill()
    text = "".join(heard)
    assert "the goods are spoiled; order new ones." in text
    assert "not everything is well: shop (not prepared)" in text
    assert "Traceback" not in text


def _words(process: psutil.Process) -> str:
    try:
        return " ".join([*process.cmdline(), *process.environ().values()])
    except psutil.Error:
        return ""
