"""What ships fits together: the scope model, the intent adapter's labels, the templates and the saved questions."""

import json

from core.settings import PROJECT_ROOT
from verticals.support.precision import Thresholds
from verticals.support.saved import saved_questions
from verticals.support.scope import FEATURES, Scope
from verticals.support.settings import SupportSettings
from verticals.support.templates import load_templates


def test_scope_labels_and_templates_are_about_the_same_intents() -> None:
    settings = SupportSettings()
    labels = set(json.loads((PROJECT_ROOT / "data" / "adapters" / settings.intents / "labels.json").read_text()))
    scope = Scope.load(settings.scope)
    assert set(scope.prototype_intents) == labels == set(load_templates(settings.templates))
    assert scope.prototypes.shape == (len(scope.prototype_intents), 384)
    assert scope.direction.shape == (384,)


def test_the_shipped_models_use_known_signs_and_passages_need_no_intents() -> None:
    scope = Scope.load(SupportSettings().scope)
    for model in (scope.scope, scope.intent, scope.passage):
        assert set(model.features) <= set(FEATURES) and len(model.features) == len(model.weights)
    assert set(scope.passage.features) <= {"semantic", "lexical", "sentence", "score_gap"}
    assert scope.fitted["held_out"] >= 500


def test_the_shipped_thresholds_are_chances() -> None:
    settings = SupportSettings()
    shipped = Thresholds.load(settings.thresholds, Scope.load(settings.scope).thresholds)
    assert shipped.rows == 0
    assert all(0 < value < 1 for value in (shipped.scope, shipped.template, shipped.passage, shipped.precision))


def test_there_are_saved_questions_to_compare_versions_on() -> None:
    assert len(set(saved_questions())) >= 10
