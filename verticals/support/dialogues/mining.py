"""``headwater support mine LOGS``: what a company's own conversations teach.

Resolved questions become pairs: training tables, and cases to show beside new questions. Questions that nobody settled
are grouped, and each group becomes a proposal for review: an FAQ entry, and an intent where the group is large enough.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.operations.feedback import corrections, latest
from core.search.encoding import Encoder
from verticals.support.dialogues.clusters import Cluster, ClusterConfig, cluster
from verticals.support.dialogues.logs import LogMapping, read_logs
from verticals.support.dialogues.pairs import Learned, Unanswered, learn
from verticals.support.dialogues.training import write_training

INTENT_SIZE = 5  # questions from which a group may deserve an intent of its own
CENTRAL = 3  # questions of a group that the bot is asked
Answered = Callable[[str], bool]


def mine(
    path: str | Path,
    settings: Any = None,
    mapping: LogMapping | None = None,
    config: ClusterConfig | None = None,
    encoder: Encoder | None = None,
    answered: Answered | None = None,
    propose: bool = True,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Learn from a log and queue what it suggests. Raises InputError for a log that cannot be read.

    ``settings`` are ``SupportSettings``. ``answered`` tells whether the knowledge base answers a question: such ones
    need no new entry; the served bot decides unless given. ``propose=False`` writes nothing into the database.
    Training tables go to ``folder`` (``var/support/training``).
    """
    from core.settings import get_settings
    from verticals.support.settings import SupportSettings

    settings = settings or SupportSettings()
    dialogues = read_logs(Path(path), mapping)
    if encoder is None:
        from verticals.support.opening import open_encoder

        encoder = open_encoder(settings)
    learned = learn(dialogues, encoder)
    answered = answered or _asking_the_bot(settings)
    still_open = learned.unanswered
    found = cluster([one.question for one in still_open], encoder, config, [pair.question for pair in learned.pairs])
    groups = [one for one in found if not _known(_questions(one, still_open), answered)]
    rows, cases = _corrected(propose), 0
    queued: list[str] = []
    if propose:
        cases, queued = _keep(Path(path), learned, groups, still_open, encoder)
    tables = write_training(learned.pairs, folder or get_settings().var / "support" / "training", rows)
    return {
        "dialogues": len(dialogues),
        "pairs": len(learned.pairs),
        "merged": learned.merged,
        "small_talk": learned.small_talk,
        "redacted": learned.redacted,
        "unanswered": len(learned.unanswered),
        "known_by_now": len(found) - len(groups),
        "cases": cases,
        "groups": [
            {"name": one.name, "label": one.slug, "size": len(one.rows), "questions": _questions(one, still_open)}
            for one in groups
        ],
        "queued": len(queued),
        "training": tables.to_dict(),
    }


def mine_shipped(settings: Any, report: Callable[[str], None]) -> None:
    """Mine ``settings.dialogues`` unless some log was mined before, so that a new desk has cases and proposals."""
    from verticals.support.cases import Cases

    if settings.dialogues is None or Cases.open().any():
        return
    report(f"support: learning from {settings.dialogues.name}")
    found = mine(settings.dialogues, settings)
    report(f"support: {found['cases']} resolved cases, {found['queued']} proposals to review")


def _questions(group: Cluster, found: Sequence[Unanswered]) -> list[str]:
    return list(dict.fromkeys(found[row].question for row in group.rows))


def _known(questions: Sequence[str], answered: Answered) -> bool:
    """Whether most of a group's central questions have an answer already: one lucky hit does not count."""
    asked = questions[:CENTRAL]
    return sum(map(answered, asked)) > len(asked) / 2


def _keep(
    path: Path, learned: Learned, groups: Sequence[Cluster], found: Sequence[Unanswered], encoder: Encoder
) -> tuple[int, list[str]]:
    from verticals.support.cases import Cases
    from verticals.support.review import Kind, Proposal, Review

    proposals = []
    for group in groups:
        kinds: tuple[Kind, ...] = ("faq", "intent") if len(group.rows) >= INTENT_SIZE else ("faq",)
        names = tuple(found[row].dialogue for row in group.rows)
        questions = tuple(_questions(group, found))
        proposals += [Proposal(kind, group.name, group.slug, questions, names, group.cohesion) for kind in kinds]
    pairs = list(learned.pairs)
    vectors = encoder.encode([pair.question for pair in pairs]) if pairs else np.empty((0, 1))
    kept = Cases.open().replace(pairs, vectors, path.name)
    return kept, Review.open().propose(proposals)


def _corrected(known: bool) -> list[tuple[str, str]]:
    """Questions with answers that agents accepted or wrote, from the database."""
    if not known:
        return []
    from core.operations.database import open_database
    from verticals.support.tables import metadata

    found = latest(corrections(open_database(metadata), "support", "matching"))
    return [(one.text, one.pair) for one in found if one.pair]


def _asking_the_bot(settings: Any) -> Answered:
    """Whether the served bot gives an answer; without an index everything counts as open."""
    from core.search.versions import Versions
    from verticals.support.bot import Bot

    if Versions(settings.index).current() is None:
        return lambda question: False
    bot = Bot.open(settings)
    return lambda question: bot.reply(question, groups=("public", "agents")).kind in ("template", "passage")


def show(result: dict[str, Any]) -> str:
    """For people."""
    found = ", ".join(f"{count} {kind}" for kind, count in result["redacted"].items()) or "nothing"
    training = result["training"]
    lines = [
        f"{result['dialogues']} conversations: {result['pairs']} questions with an answer"
        f" ({result['merged']} repetitions merged), {result['unanswered']} open, {result['small_talk']} small talk",
        f"personal data taken out: {found}",
        f"{result['known_by_now']} groups of open questions are answered by the knowledge base as it is",
        *(f"  {group['size']:>3}  {group['label']:<32} {group['name']}" for group in result["groups"]),
        f"{result['queued']} proposals wait for review (dashboard, page Review)",
        *(f"tune on them: headwater tune {recipe}" for recipe in training["recipes"]),
    ]
    return "\n".join(lines)
