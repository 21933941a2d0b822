"""Public questions for the support benchmarks: BANKING77 in scope, CLINC150's other domains and oos rows outside."""

import json
from dataclasses import dataclass
from pathlib import Path

from core.data.load import load
from core.settings import PROJECT_ROOT, get_settings
from core.tuning.recipe import Recipe
from verticals.support.scope_fitting import Labelled

# CLINC150's domains banking and credit cards, and its small talk: a bank's bot may be right to take these for its own.
_NEAR = frozenset(
    """freeze_account routing pin_change bill_due pay_bill account_blocked interest_rate min_payment bill_balance
    transfer order_checks balance spending_history transactions report_fraud replacement_card_duration expiration_date
    damaged_card improve_credit_score report_lost_card card_declined credit_limit_change apr redeem_rewards credit_limit
    rewards_balance application_status credit_score new_card international_fees exchange_rate direct_deposit income
    travel_notification""".split()  # noqa: SIM905 - so many strings in quotes read worse
)

# A bank's matters that none of BANKING77's intents covers.
_UNCOVERED = frozenset(
    """routing bill_due pay_bill interest_rate min_payment bill_balance order_checks spending_history credit_score
    improve_credit_score credit_limit_change apr redeem_rewards credit_limit rewards_balance application_status
    direct_deposit income""".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Outside:
    """Questions of other domains, by CLINC150's parts; ``near`` are a bank's that BANKING77 has no intent for."""

    train: list[str]
    validation: list[str]
    test: list[str]
    near: list[str]


def banking(adapter: str = "banking-intents") -> tuple[Labelled, Labelled]:
    """BANKING77's training rows as the shipped adapter was trained and validated on them; no test row."""
    recipe = Recipe.load(PROJECT_ROOT / "data" / "adapters" / adapter / "recipe.toml")
    folder = get_settings().datasets / "banking77"
    values = recipe.data.model_dump()
    values["train"][0]["path"], values["test"][0]["path"] = folder / "train.csv", folder / "test.csv"
    data = load(type(recipe.data).model_validate(values), recipe.task, recipe.training.seed)
    parts = [
        Labelled(part["text"].astype(str).tolist(), part["label"].astype(str).tolist())
        for part in (data.train, data.validation)
    ]
    return parts[0], parts[1]


def banking_test(datasets: Path, first: int | None = None) -> Labelled:
    """BANKING77's test rows, the first ``first`` of them."""
    import csv

    with (datasets / "banking77" / "test.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))[:first]
    return Labelled([row["text"] for row in rows], [row["category"] for row in rows])


def clinc(datasets: Path) -> Outside:
    """CLINC150's questions of domains that have nothing to do with a bank, and its out-of-scope questions."""
    parts = json.loads((datasets / "clinc150" / "data_full.json").read_text(encoding="utf-8"))

    def far(name: str) -> list[str]:
        return [text for text, intent in parts[name] if intent not in _NEAR]

    def oos(name: str) -> list[str]:
        return [text for text, _ in parts[name]]

    near = [text for text, intent in parts["val"] if intent in _UNCOVERED]
    return Outside(far("train")[::2], oos("oos_train") + oos("oos_val") + far("val")[::2], oos("oos_test"), near)
