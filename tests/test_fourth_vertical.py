"""A fourth application, medical triage, as a package that pip installs: one entry point, and everything works.

It is built and installed into a folder of its own, and used from processes that have that folder on their path, so
that what is found is found as a user's own package would be.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.settings import PROJECT_ROOT
from tests.apart import Server

PACKAGE = PROJECT_ROOT / "tests" / "plugins" / "triage"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed into."""
    source = tmp_path_factory.mktemp("source") / "triage"  # building leaves files beside the source
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--target", str(target), str(source)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def run(site: Path, tmp_path_factory: pytest.TempPathFactory, empty_tracking_database: Path, apart: Server) -> Run:
    """``run("triage", "queue")`` is ``headwater triage queue`` where the package is installed, in one var folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    paths = os.pathsep.join([str(site), str(PROJECT_ROOT)])
    var = tmp_path_factory.mktemp("triage-var")
    shutil.copy(empty_tracking_database, var / "mlflow.db")
    environment = {**kept, "PYTHONPATH": paths, "HEADWATER_VAR": str(var), "HF_HUB_OFFLINE": "1"}

    def call(*arguments: str, code: str | None = None, expect: int = 0, **more: str) -> Any:
        environ = {**environment, **more}
        if "--help" in arguments:  # a whole process, as it is started by hand
            command = [sys.executable, "-m", "core.cli", *arguments]
            done = subprocess.run(command, env=environ, cwd=var, capture_output=True, text=True)
        else:
            done = apart.run(*arguments, code=code, env=environ, cwd=var)
        assert done.returncode == expect, done.stderr[-3000:]
        return done

    return call


@pytest.fixture(scope="module")
def tuned(run: Run) -> dict[str, Any]:
    """What ``headwater triage tune`` said."""
    found: dict[str, Any] = json.loads(run("triage", "tune", "--json").stdout)
    return found


def test_it_is_not_here_without_being_installed() -> None:
    from core.vertical import installed

    assert "triage" not in installed()


def test_it_stands_beside_the_others(run: Run) -> None:
    out = run("--help").stdout
    assert re.search(r"^  triage +an application", out, re.M) and re.search(r"^  finance +an application", out, re.M)
    assert "assess" in run("triage", "--help").stdout


def test_finding_it_does_not_import_it(run: Run) -> None:
    code = (
        "import sys; from core.vertical import installed;"
        "print('triage' in installed(), 'headwater_triage' in sys.modules)"
    )
    assert run(code=code).stdout.split() == ["True", "False"]


def test_its_recipe_becomes_a_registered_model(tuned: dict[str, Any], run: Run) -> None:
    assert (tuned["name"], tuned["version"], tuned["task"], tuned["method"]) == ("triage", 1, "classification", "head")
    assert tuned["metrics"]["accuracy"]["low"] > 1 / 3, "better than chance on the synthetic test rows"
    assert [model["name"] for model in json.loads(run("models", "list", "--json").stdout)] == ["triage"]


def test_its_command_assesses(tuned: dict[str, Any], run: Run) -> None:
    texts = ("crushing pain in my chest and I cannot breathe", "please renew my usual prescription")
    found = json.loads(run("triage", "assess", *texts, "--json").stdout)
    assert [row["urgency"] for row in found] == ["emergency", "routine"]
    assert all(1 / 3 < row["probability"] <= 1 for row in found)


def test_its_job_route_and_queue_work_together(tuned: dict[str, Any], run: Run, tmp_path: Path) -> None:
    file = tmp_path / "messages.txt"
    file.write_text("What are your opening hours on Saturdays\nHe collapsed and does not answer\n")
    assert json.loads(run("triage", "add", str(file), "--json").stdout) == {"messages": [1, 2]}
    waiting = json.loads(run("status", "--json", expect=1).stdout)
    queues = [(q["name"], q["waiting"]) for q in waiting["queues"] if q["vertical"] == "triage"]
    assert queues == [("messages to assess", 2)]
    assert waiting["training"]["model"] == "triage"

    done = json.loads(run("worker", "--once", "--json", HEADWATER_ONLY="triage").stdout)
    jobs = [(job["vertical"], job["job"], job["runs"], job["failures"]) for job in done["jobs"]]
    assert jobs == [("triage", "assess", 1, 0)]
    first, last = json.loads(run("triage", "queue", "--json").stdout)
    assert (first["id"], first["urgency"], last["urgency"]) == (2, "emergency", "routine")

    told = json.loads(run(code=OVER_HTTP, HEADWATER_ONLY="triage").stdout.splitlines()[-1])
    assert told["added"] == [201, {"messages": [3]}]
    assert [row["id"] for row in told["before"]] == [3, 2, 1], "what nobody has looked at is on top"
    assert told["said"] == 204 and told["unknown"] == 404 and told["nonsense"] == 422
    assert [row["id"] for row in told["after"]] == [3, 1, 2]
    assert told["after"][2]["said"] == "routine" and told["after"][2]["urgency"] == "emergency"
    assert told["corrections"] == [["He collapsed and does not answer", "routine", "local"]]
    assert "/v1/triage/queue" in told["paths"] and list(told["applications"]) == ["triage"]
    assert told["applications"]["triage"]["status"] == "ready"


OVER_HTTP = """
import json
from fastapi.testclient import TestClient
from core.api.app import create_app
from core.operations.feedback import corrections
app = create_app()
with TestClient(app) as client:
    added = client.post("/v1/triage/messages", json={"texts": ["My ear hurts since yesterday"]})
    before = client.get("/v1/triage/queue").json()
    said = client.put("/v1/triage/messages/2/urgency", json={"urgency": "routine"}).status_code
    print(json.dumps({
        "added": [added.status_code, added.json()],
        "before": before,
        "said": said,
        "unknown": client.put("/v1/triage/messages/99/urgency", json={"urgency": "soon"}).status_code,
        "nonsense": client.put("/v1/triage/messages/2/urgency", json={"urgency": "never"}).status_code,
        "after": client.get("/v1/triage/queue").json(),
        "corrections": [[c.text, c.label, c.actor] for c in corrections(app.state.engine, "triage", "urgency")],
        "paths": list(client.get("/openapi.json").json()["paths"]),
        "applications": client.get("/readyz").json()["applications"],
    }))
"""
