from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError
from tests.verticals.support.conftest import FOREIGN, MakeBot, labelled, questions
from verticals.support.intents import IntentGuess, Intents
from verticals.support.scope import FEATURES, Scope
from verticals.support.scope_fitting import Labelled, fit_scope


def test_foreign_questions_score_below_known_ones(make_bot: MakeBot) -> None:
    bot = make_bot()
    known = [bot.look(text, (), ("public",), {}).judged.scope for text in labelled(10, 700).texts]
    foreign = [bot.look(text, (), ("public",), {}).judged.scope for text in questions(FOREIGN, 40, 701)]
    assert np.quantile(known, 0.05) > np.quantile(foreign, 0.8)


def test_a_wrong_intent_is_less_sure_than_a_right_one(make_bot: MakeBot) -> None:
    bot = make_bot()
    rows = labelled(20, 800)
    cases = [bot.look(text, (), ("public",), {}) for text in rows.texts]
    right = [c.guess is not None and c.guess.intent == t for c, t in zip(cases, rows.intents, strict=True)]
    sure = np.array([c.judged.intent for c in cases])
    assert sure[np.array(right)].mean() > 0.8


def test_it_is_read_as_it_was_written(small_scope: Scope, tmp_path: Path) -> None:
    small_scope.save(tmp_path / "scope")
    again = Scope.load(tmp_path / "scope")
    assert (again.scope, again.intent, again.passage) == (small_scope.scope, small_scope.intent, small_scope.passage)
    assert again.thresholds == small_scope.thresholds and again.prototype_intents == small_scope.prototype_intents
    values = dict.fromkeys(FEATURES, 0.5)
    assert again.judge(values) == small_scope.judge(values)
    assert np.allclose(again.prototypes, small_scope.prototypes, atol=1e-3)


def test_a_damaged_one_is_named(tmp_path: Path, small_scope: Scope) -> None:
    with pytest.raises(InputError, match="nowhere"):
        Scope.load(tmp_path / "nowhere")
    small_scope.save(tmp_path / "scope")
    (tmp_path / "scope" / "scope.json").write_text("{}")
    with pytest.raises(InputError, match="scope"):
        Scope.load(tmp_path / "scope")


def test_few_rows_are_refused(make_bot: MakeBot) -> None:
    bot = make_bot()
    assert isinstance(bot.intents, Intents)
    few = Labelled(["card"] * 10, ["card_arrival"] * 10)
    with pytest.raises(InputError, match="100"):
        fit_scope(bot.intents, bot.retrieval, few, few, ["x"] * 10, ["x"] * 10, [], {})


def test_without_an_intent_model_the_passages_decide(small_scope: Scope) -> None:
    values = {**dict.fromkeys(FEATURES, 0.0), "semantic": 1.0, "lexical": 1.0, "sentence": 1.0}
    judged = small_scope.judge(values, guessed=False)
    assert (judged.scope, judged.intent) == (1.0, 0.0)
    assert judged.passage == small_scope.passage(values)


def test_energy_and_margin_say_how_flat_the_scores_are() -> None:
    class Model:
        labels = ["a", "b"]
        temperature = 1.0

        def logits(self, texts: object) -> np.ndarray:
            return np.array([[5.0, 0.0], [0.1, 0.0]])

    sharp, flat = Intents(Model()).guess(["x", "y"])
    assert isinstance(sharp, IntentGuess) and (sharp.intent, flat.intent) == ("a", "a")
    assert sharp.margin > 0.9 > 0.2 > flat.margin
    assert sharp.energy < flat.energy
