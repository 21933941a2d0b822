"""What the OpenAPI document promises, kept for data it allows and data it does not (schemathesis, all checks).

The core's routes and those of every installed vertical: no status 5xx, none that is not documented, answers of the
documented shape, valid data accepted, invalid data refused, no answer without a key. Through a real server, so that
what its HTTP parser says is looked at, too.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import uvicorn
from schemathesis.engine import Status, events, from_schema

from core.api.app import create_app
from core.api.catalogue import Catalogue
from core.api.config import ApiSettings
from core.api.keys import Keys
from core.api.serve import Server, listen
from core.settings import get_settings
from core.vertical import installed

EXAMPLES = 5
ACCEPTED = ("2xx", "401", "403", "404", "409")


@pytest.fixture(autouse=True)
def patient_with_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Valid data for signing in are wrong passwords, and here more of them than people may send."""
    monkeypatch.setenv("HEADWATER_ACCESS_WRONG_PASSWORDS", "100000")
    monkeypatch.setenv("HEADWATER_ACCESS_WRONG_FROM_ADDRESS", "100000")


@pytest.fixture
def catalogue(models_folder: Path) -> Catalogue:
    return Catalogue(get_settings(), models_folder)


@pytest.fixture
def headers(keys: Keys) -> dict[str, str]:
    return {"Authorization": f"Bearer {keys.create('tester', 'admin')[1]}"}


@pytest.fixture
def url(catalogue: Catalogue, headers: dict[str, str]) -> Iterator[str]:
    """An API with every installed vertical, served on a free port."""
    app = create_app(get_settings(), config=ApiSettings(rate="1000000/second"), catalogue=catalogue)
    bound = listen("127.0.0.1", 0)
    server = Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    server.should_exit = True
    thread.join()


Check = Callable[..., list[str]]


@pytest.fixture
def broken_promises(url: str, headers: dict[str, str]) -> Check:
    """``broken_promises(path_regex, refusals)``: what schemathesis finds, a text for each failure.

    ``refusals``: further statuses for data that the document allows, where it cannot say everything (that a text is a
    rule book, that a period begins before it ends).
    """

    def check(path_regex: str, refusals: Sequence[str] = ()) -> list[str]:
        config = schemathesis.Config.from_dict(
            {
                "seed": 7,
                "headers": headers,
                "request-timeout": 100,  # a first request loads models
                "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none"},
                "phases": {"stateful": {"enabled": False}},
                "checks": {"positive_data_acceptance": {"expected-statuses": [*ACCEPTED, *refusals]}},
            }
        )
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config).include(path_regex=path_regex)

        @schema.hook
        def map_case(context: Any, case: Any) -> Any:
            if case.meta is not None and case.meta.generation.mode.is_positive and isinstance(case.body, dict):
                _reach_a_model(case.path, case.body)
            return case

        found, scenarios = [], 0
        for event in from_schema(schema).execute():
            if isinstance(event, events.ScenarioFinished):
                scenarios += event.status in (Status.SUCCESS, Status.FAILURE)
                for case, checks in event.recorder.checks.items():
                    for each in checks:
                        if each.status == Status.FAILURE and each.failure_info is not None:
                            request = event.recorder.interactions[case].request
                            body = (request.body or b"")[:300]
                            failure = each.failure_info.failure
                            found.append(
                                f"{event.label}: {each.name}: {failure}\n  {request.method} {request.uri} {body!r}"
                            )
            elif isinstance(event, (events.NonFatalError, events.FatalError)):
                found.append(str(getattr(event, "value", None) or getattr(event, "exception", event)))
        assert scenarios or not found
        return found

    return check


def _reach_a_model(path: str, body: dict[str, Any]) -> None:
    """Change valid data: a model there is, and texts of the one kind it reads; the document cannot say which.

    Names of models there are not get a 404, which would say little.
    """
    if path == "/v1/embed":
        body["model"] = "near"
    elif path == "/v1/predict":
        single = isinstance(body["texts"][0], str)
        body["model"] = "topics" if single else "relevance"
        body["texts"] = [text for text in body["texts"] if isinstance(text, str) is single]


def _expect_none(found: list[str]) -> None:
    if found:
        pytest.fail("\n\n".join(dict.fromkeys(found)), pytrace=False)


def test_the_cores_routes(broken_promises: Check) -> None:
    _expect_none(broken_promises("^/(healthz|readyz|metrics|session|v1/(models|predict|embed|status))$"))


@pytest.mark.skipif(
    "HEADWATER_TEST_CONTRACTS" not in os.environ,
    reason="the applications' routes open their models, which takes minutes; set HEADWATER_TEST_CONTRACTS=1",
)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(installed()))
def test_the_routes_of(name: str, broken_promises: Check) -> None:
    _expect_none(broken_promises(f"^/v1/{name}/", ["422"]))
