"""The adapters that ship: small, documented, and right about plain sentences on a fresh machine."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from core.cli import main
from core.serving.network import Network
from core.serving.predictor import find_model, load_predictor
from core.settings import PROJECT_ROOT

ADAPTERS = sorted(p for p in (PROJECT_ROOT / "data" / "adapters").iterdir() if p.is_dir())
PLAIN = {
    "banking-intents": {
        "I have been waiting for my new card for two weeks": "card_arrival",
        "How do I change my PIN?": "change_pin",
        "The machine swallowed my card": "card_swallowed",
    },
    "finance-sentiment": {
        "Profit doubled and the company raised its dividend": "positive",
        "The shares fell 12% after a profit warning": "negative",
    },
}


@pytest.mark.parametrize("folder", ADAPTERS, ids=lambda p: p.name)
def test_an_adapter_is_small_and_whole(folder: Path) -> None:
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    assert size <= 3 * 2**20
    for name in ("recipe.toml", "labels.json", "calibration.json", "metrics.json", "README.md"):
        assert (folder / name).is_file(), name
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "accuracy" in card
    assert 'path = "/' not in (folder / "recipe.toml").read_text(encoding="utf-8")  # it must run elsewhere, too


@pytest.mark.parametrize("name", [folder.name for folder in ADAPTERS if folder.name in PLAIN])
def test_an_adapter_predicts_by_its_name(name: str) -> None:
    wanted = PLAIN[name]
    found = load_predictor(name).predict(list(wanted))
    assert dict(zip(wanted, [p.label for p in found], strict=True)) == wanted
    assert all(0.3 < p.probability <= 1 for p in found)


def test_a_name_that_is_nowhere_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "no-such-model", "text"]) == 2
    assert "no-such-model" in capsys.readouterr().err


def test_the_folder_of_an_adapter_is_found() -> None:
    assert find_model(ADAPTERS[0].name) == ADAPTERS[0]


def test_a_headline_read_once_gets_what_each_model_alone_says() -> None:
    from core.serving.joint import Joint, join
    from verticals.finance.desk import MODELS, Desk

    made: list[Joint | None] = []

    def joining(networks: Sequence[Network]) -> Joint | None:
        made.append(join(networks, "torch"))
        return made[-1]

    apart = Desk.open(MODELS["en"], engine="torch")
    desk = Desk(apart.sentiment, apart.topics, apart.encoder, join=joining)
    apart = Desk(apart.sentiment, apart.topics, apart.encoder)
    titles = ["Shares of the bank plunge after a profit warning", "Oil prices rise", "Fed keeps rates unchanged"]
    opinions, calls, vectors = desk.read(titles)
    same_opinions, same_calls, same_vectors = apart.read(titles)
    assert len(made) == 1 and made[0] is not None
    assert [one.topic for one in calls if one] == [one.topic for one in same_calls if one]
    for one, other in zip(opinions, same_opinions, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert vectors == pytest.approx(same_vectors, abs=1e-4)
